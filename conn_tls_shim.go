// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"encoding/binary"
	"net"
	"sync"
	"time"

	"github.com/getty-net/getty/internal/bufpool"
)

// tlsShim is the net.Conn under a tls.Conn. During the handshake it blocks.
// Afterwards Read hands out what has arrived, or errAgain, and Write collects.
type tlsShim struct {
	net.Conn // addresses
	raw      conn

	// Owned by the reader; the handshake's goroutine before it.
	in     window
	got    int   // bytes that are not in the plaintext yet
	record int   // bytes left of the record that is being handed out
	err    error // of raw, handed out once in is empty

	// Owned by the writer.
	cur *bufpool.Buf // leaving; cur.B[off:] is left
	off int

	mu  sync.Mutex
	out *bufpool.Buf // collected, by the writer and by the reader's control records

	over     bool // nothing leaves any more; guarded by mu
	left     bool // a cur has left since the last piece was converted; the writer's
	blocking bool // the reader's
}

func (s *tlsShim) drop() {
	s.in.release()
	bufpool.Put(s.cur)
	s.cur = nil
	s.mu.Lock() // a user who closes the tls.Conn writes its alert
	defer s.mu.Unlock()
	bufpool.Put(s.out)
	s.out, s.over = nil, true
}

// fill waits for more ciphertext.
func (s *tlsShim) fill() { s.err = s.raw.read(&s.in) }

// Read hands out whole records only, and no byte of the next one: so crypto/tls
// never holds one back, and what is left of one keeps its place in the window,
// where raw sees that more than a first byte is waited for.
func (s *tlsShim) Read(p []byte) (int, error) {
	for s.record == 0 {
		s.record = wholeRecord(s.in.bytes())
		switch {
		case s.record > 0:
		case s.err != nil && s.in.len() > 0:
			s.record = s.in.len() // it will not be completed any more
		case s.err != nil:
			return 0, s.err
		case !s.blocking:
			return 0, errAgain
		default:
			if err := s.flushAll(); err != nil {
				return 0, err
			}
			s.fill()
		}
	}
	n := copy(p, s.in.bytes()[:s.record])
	s.in.used(n)
	s.record -= n
	return n, nil
}

// empty reports whether Read would return errAgain.
func (s *tlsShim) empty() bool {
	return s.record == 0 && s.err == nil && wholeRecord(s.in.bytes()) == 0
}

// wholeRecord is the size of the first record in data, 0 if it has not arrived
// in full. What is no record counts as one: crypto/tls says what is wrong.
func wholeRecord(data []byte) int {
	const (
		header           = 5             // RFC 8446, section 5.1: type, version, length
		longest          = 1<<14 + 2<<10 // RFC 5246, section 6.2.3
		firstType, types = 20, 5
	)
	if len(data) < header {
		return 0
	}
	size := int(binary.BigEndian.Uint16(data[3:]))
	switch {
	case data[0]-firstType >= types || size > longest:
		return len(data)
	case header+size > len(data):
		return 0
	}
	return header + size
}

func (s *tlsShim) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return len(p), nil
	}
	if s.out == nil {
		s.out = bufpool.Get(len(p))
	}
	s.out.B = append(s.out.B, p...)
	return len(p), nil
}

// SetWriteDeadline does nothing. crypto/tls sets one that has passed when it has
// written its close_notify, and nothing that is collected here could leave.
func (s *tlsShim) SetWriteDeadline(time.Time) error { return nil }

// collected is how much nobody has begun to write.
func (s *tlsShim) collected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out == nil {
		return 0
	}
	return len(s.out.B)
}

// flush writes what was collected; see converter.
func (s *tlsShim) flush(wait bool) error {
	for {
		if s.cur == nil {
			s.mu.Lock()
			s.cur, s.out, s.off = s.out, nil, 0
			s.mu.Unlock()
			if s.cur == nil {
				return nil
			}
		}
		if err := s.push(wait); err != nil {
			return err
		}
		wait = false // there was progress
		bufpool.Put(s.cur)
		s.cur, s.left = nil, true
	}
}

// push writes cur.
func (s *tlsShim) push(wait bool) error {
	for s.off < len(s.cur.B) {
		var n int
		var err error
		if wait {
			n, err = s.raw.write(s.cur.B[s.off:])
		} else {
			n, err = s.raw.tryWrite(s.cur.B[s.off:])
		}
		s.off += n
		if err != nil {
			return err
		}
		wait = false
	}
	return nil
}

// flushAll is flush for the handshake, which has nothing to do meanwhile.
func (s *tlsShim) flushAll() error {
	for {
		if err := s.flush(true); err != errAgain {
			return err
		}
	}
}
