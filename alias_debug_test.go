// SPDX-License-Identifier: Apache-2.0

//go:build getty_debug

package getty_test

import (
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// An alias that a handler keeps shows at the next message already, in whatever
// buffer the transport had the bytes: the window, a packet, or one for what was
// expanded.
func TestAnAliasOfAMessageIsOverwritten(t *testing.T) {
	for _, url := range []string{"tcp://127.0.0.1:0", "udp://127.0.0.1:0", "ws://127.0.0.1:0"} {
		t.Run(url[:3], func(t *testing.T) {
			var kept []byte
			saw := make(chan string, 2)
			events := getty.EventFuncs[[]byte]{Message: func(_ *getty.Session[[]byte], msg []byte) error {
				if kept == nil {
					kept = msg
				}
				saw <- string(kept)
				return nil
			}}
			cfg := getty.Config{WebSocket: getty.WebSocketConfig{Deflate: getty.Deflate{Enabled: true}}}
			srv, err := getty.NewServer(codec.LengthField{}, getty.EventListener[[]byte](events), cfg)
			must(t, err)
			t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
			must(t, srv.Listen(url))
			s, err := getty.Dial(within(t), srv.URLs()[0], codec.LengthField{}, getty.NopEvents[[]byte]{}, cfg)
			must(t, err)
			must(t, s.Send([]byte("precious")))
			if got := receive(t, saw, "the first message"); got != "precious" {
				t.Fatalf("the first message is %q", got)
			}
			must(t, s.Send([]byte("another!")))
			if got := receive(t, saw, "the second message"); got == "precious" {
				t.Error("the first message can still be read")
			}
			must(t, s.Close())
		})
	}
}
