// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/getty-net/getty"
)

// TestPreparedIsCompressedOnce: the first session of its settings compresses
// it, and the others send that frame, byte by byte, without their encoders.
// With context takeover frames are not shared, but valid.
func TestPreparedIsCompressedOnce(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		r := record()
		_, url := serve(t, tr, r, getty.Config{WebSocket: getty.WebSocketConfig{
			MessageType: getty.MessageText, Deflate: getty.Deflate{Enabled: true, ContextTakeover: true},
		}}, nil)
		line := strings.Repeat("to all of you, ", 100)
		var p *getty.Prepared
		for i, tt := range []struct {
			offer     string
			frames    int // made so far, after the sessions with this offer
			deflating int // of these sessions
		}{
			{"", 1, 0},
			{"permessage-deflate; server_no_context_takeover", 2, 1},
			{"permessage-deflate; server_no_context_takeover; server_max_window_bits=9", 3, 1},
			{"permessage-deflate", 3, 3},
		} {
			var first []byte
			deflating := 0
			for n := range 3 {
				w := peerOffering(t, url, tt.offer).(*wsRaw)
				s := receive(t, r.opened, "OnOpen")
				if p == nil {
					p, _ = s.Prepare(line)
				}
				used := s.WatchDeflate()
				must(t, s.SendPrepared(s.Context(), p))
				if used() {
					deflating++
				}
				var received bytes.Buffer
				w.br = bufio.NewReader(io.TeeReader(w.br, &received))
				f, err := w.readFrame()
				must(t, err)
				got := received.Bytes()
				if n == 0 {
					first = got
				}
				if !bytes.Equal(got, first) {
					t.Errorf("offer %d: session %d got %.40q, the first %.40q", i, n, got, first)
				}
				if compressed := f.bits&rsv1 != 0; compressed != (tt.offer != "") || compressed != (len(got) < len(line)) {
					t.Errorf("offer %d: session %d got %d bytes with bits %#x", i, n, len(got), f.bits)
				}
			}
			if got := p.Frames(); got != tt.frames || deflating != tt.deflating {
				t.Errorf("offer %d: %d frames were made so far and %d sessions compressed, want %d and %d", i, got, deflating, tt.frames, tt.deflating)
			}
		}
	})
}
