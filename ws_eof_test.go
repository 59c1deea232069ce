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
		w, frame := nc.(*wsRaw), binaryFrame(payload).bytes(client)
		for range messages {
			_, err := w.Conn.Write(frame)
			must(t, err)
		}
		must(t, w.Conn.(interface{ CloseWrite() error }).CloseWrite())
		w.said = true // nothing more can be
		header, farewell := 2+8, 2+2
		if !client {
			header, farewell = header+4, farewell+4 // for the masks
		}
		n, err := io.Copy(io.Discard, w.br)
		if want := messages*(header+len(payload)) + farewell; int(n) != want || err != nil {
			t.Errorf("%d bytes came back, %v, want %d", n, err, want)
		}
	})
}
