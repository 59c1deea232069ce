// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/getty-net/getty/codec"
)

// sinkConn takes everything at once.
type sinkConn struct {
	conn
	writes int // by one writer at a time
}

func (c *sinkConn) tryWrite(p []byte) (int, error) { c.writes++; return len(p), nil }

// BenchmarkBatch is the engine without a kernel: a batch of messages is decoded,
// handled and answered with one write.
func BenchmarkBatch(b *testing.B) {
	echo := EventFuncs[[]byte]{Message: func(s *Session[[]byte], m []byte) error { return s.Send(m) }}
	for _, batch := range []int{1, 16} {
		for _, size := range []int{64, 1024} {
			b.Run(fmt.Sprintf("batch=%d/size=%d", batch, size), func(b *testing.B) {
				ep := new(endpoint)
				if err := ep.init(Config{}, "Config"); err != nil {
					b.Fatal(err)
				}
				sink := new(sinkConn)
				s := newSession(ep, "tcp", sink, codec.LengthField{}, echo)
				if !s.opening() {
					b.Fatal("it does not open")
				}
				var frames []byte
				for range batch {
					frames = binary.BigEndian.AppendUint32(frames, uint32(size)) //nolint:gosec // small
					frames = append(frames, make([]byte, size)...)
				}
				b.ReportAllocs()
				for range b.N {
					s.in.add(frames)
					if err := s.handle(); err != nil {
						b.Fatal(err)
					}
					s.in.park()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/message")
				b.ReportMetric(float64(sink.writes)/float64(b.N), "writes/batch")
			})
		}
	}
}
