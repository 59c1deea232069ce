// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"fmt"
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// BenchmarkUDPEcho is a message there and back, both sides of getty, with some
// in flight.
func BenchmarkUDPEcho(b *testing.B) {
	bounce := getty.EventFuncs[[]byte]{Message: func(s *getty.Session[[]byte], m []byte) error { return s.Send(m) }}
	for _, flight := range []int{1, 16} {
		for _, udp := range []getty.UDP{{Batch: 1}, {NoOffload: true}, {}} {
			b.Run(fmt.Sprintf("flight=%d/batch=%d/offload=%t", flight, udp.Batch, !udp.NoOffload), func(b *testing.B) {
				cfg := getty.Config{UDP: udp}
				srv, err := getty.NewServer(codec.Raw{}, bounce, cfg)
				must(b, err)
				must(b, srv.Listen("udp://127.0.0.1:0"))
				b.Cleanup(func() { must(b, srv.Shutdown(within(b))) })
				left, done := b.N, make(chan struct{})
				events := getty.EventFuncs[[]byte]{Message: func(s *getty.Session[[]byte], m []byte) error {
					if left--; left <= 0 {
						if left == 0 {
							close(done)
						}
						return nil
					}
					return s.Send(m)
				}}
				s, err := getty.Dial(within(b), srv.URLs()[0], codec.Raw{}, events, cfg)
				must(b, err)
				b.Cleanup(func() { _ = s.Close() })
				b.ReportAllocs()
				b.ResetTimer()
				for range min(flight, b.N) {
					must(b, s.Send(make([]byte, 100)))
				}
				<-done
			})
		}
	}
}
