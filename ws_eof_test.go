// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"io"
	"net"
	"testing"
)

// A WebSocket peer that ends its stream without a close frame lost the answers
// that were still waiting for the kernel: such an end was treated as a broken
// conn. Rule: as on streams, what handlers have sent is flushed.
func TestWebSocketEOFWithoutCloseFrameFlushes(t *testing.T) {
	const messages = 8 // more than the sockets' buffers hold
	payload := string(make([]byte, 1<<20))
	eachEcho(t, ruleConfig, func(t *testing.T, nc net.Conn, client bool) {
		w := nc.(*wsRaw)
		for range messages {
			_, err := w.Conn.Write(binaryFrame(payload).bytes(client))
			must(t, err)
		}
		must(t, w.Conn.(interface{ CloseWrite() error }).CloseWrite())
		w.said = true // nothing more can be
		for i := range messages {
			op, got, err := readRawFrame(w.br)
			if err != nil || op != 2 || len(got) != len(payload) {
				t.Fatalf("frame %d is opcode %d with %d bytes, %v", i, op, len(got), err)
			}
		}
		if op, _, err := readRawFrame(w.br); err != nil || op != 8 {
			t.Errorf("opcode %d, %v, want a close frame", op, err)
		}
		if _, err := w.br.ReadByte(); err != io.EOF {
			t.Errorf("%v behind the close frame", err)
		}
	})
}
