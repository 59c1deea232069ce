// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bytes"

	"github.com/klauspost/compress/flate"

	"github.com/getty-net/getty/internal/bufpool"
)

// Frames is how many frames of WebSocket have been made of a prepared message.
func (p *Prepared) Frames() (n int) {
	for range p.ready.Range {
		n++
	}
	return n
}

// InflateMessage expands a message of a session with context takeover, or without.
func InflateMessage(past, message []byte, limit, ratio int) ([]byte, error) {
	d := deflate{keepIn: past != nil, bitsIn: maxWindowBits, past: past}
	buf, err := d.inflate(message, limit, ratio)
	if err != nil {
		return nil, err
	}
	defer bufpool.Put(buf)
	return bytes.Clone(buf.B), nil
}

// WatchDeflate gives a WebSocket session that compresses an encoder of its own
// and reports whether that was used.
func (s *Session[M]) WatchDeflate() (used func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, z := s.framing.(*webSocket).deflate, &watchedDeflater{}
	if d != nil {
		z.w, _ = flate.NewWriterWindow(z, 1<<d.bitsOut)
		d.out = &z.deflater
	}
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return z.used
	}
}

type watchedDeflater struct {
	deflater
	used bool
}

func (z *watchedDeflater) Write(p []byte) (int, error) {
	z.used = true
	return z.deflater.Write(p)
}
