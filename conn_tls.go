// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"crypto/tls"
	"net"
	"sync"

	"github.com/getty-net/getty/internal/bufpool"
)

// tlsConn is a stream under TLS. crypto/tls stands between two windows: the
// engine's with plaintext, and the shim's with what has arrived and what is to
// leave. So records are read in batches, encrypted ones leave in one write, and
// nothing of it waits except in raw, without a buffer.
type tlsConn struct {
	raw  conn
	tls  *tls.Conn
	shim *tlsShim

	// taken is how much plaintext the ciphertext inside the shim stands for.
	// It is reported when that has left. Owned by the writer.
	taken int
	// control is called by the reader when TLS wants to send by itself.
	control func()
}

// tlsChunk is how much plaintext is encrypted before it is written.
const tlsChunk = 64 << 10

// tlsHandshake runs the handshake of one side over raw. Only closing raw interrupts it.
func tlsHandshake(raw conn, cfg *tls.Config, client bool) (*tlsConn, error) {
	shim := &tlsShim{Conn: raw.netConn(), raw: raw, blocking: true}
	c := &tlsConn{raw: raw, shim: shim}
	if client {
		c.tls = tls.Client(shim, cfg)
	} else {
		c.tls = tls.Server(shim, cfg)
	}
	err := c.tls.HandshakeContext(context.Background())
	if ferr := shim.flushAll(); err == nil {
		err = ferr
	}
	if err != nil {
		shim.in.release()
		return nil, err
	}
	shim.blocking = false
	return c, nil
}

func (c *tlsConn) read(in *window) error {
	for {
		before := in.len()
		err := c.decrypt(in)
		if c.control != nil && c.shim.dirty() {
			c.control()
		}
		if in.len() > before {
			return nil // an error is latched by crypto/tls and comes again
		}
		if err != errAgain {
			c.shim.in.release()
			return err
		}
		in.park()
		c.shim.fill()
	}
}

// decrypt takes records out of what has arrived, until there is no whole one.
// Waiting with a record left inside would hang.
func (c *tlsConn) decrypt(in *window) error {
	for in.len() < maxBatch {
		n, err := c.tls.Read(in.space())
		if n > 0 {
			in.filled(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *tlsConn) tryWrite(p []byte) (int, error) { return c.encrypt(p, false) }
func (c *tlsConn) write(p []byte) (int, error)    { return c.encrypt(p, true) }

func (c *tlsConn) encrypt(p []byte, wait bool) (done int, err error) {
	for {
		if err := c.shim.flush(wait); err != nil {
			if err != errAgain && c.shim.begun() {
				// The peer may have got some of it: nobody must send it again.
				done += c.taken
			}
			return done, err
		}
		done += c.taken
		c.taken = 0
		if done == len(p) || (wait && done > 0) {
			return done, nil
		}
		if c.taken, err = c.tls.Write(p[done:min(len(p), done+tlsChunk)]); err != nil {
			return done, err
		}
	}
}

func (c *tlsConn) closeWrite() error {
	err := c.tls.CloseWrite() // sends its alert at the first call only
	if ferr := c.shim.flush(false); ferr != nil {
		return ferr
	}
	if rerr := c.raw.closeWrite(); err == nil {
		err = rerr
	}
	return err
}

func (c *tlsConn) close() error      { return c.raw.close() }
func (c *tlsConn) netConn() net.Conn { return c.tls }

// tlsShim is the net.Conn under a tls.Conn. During the handshake it blocks.
// Afterwards Read hands out what has arrived, or errAgain, and Write collects.
type tlsShim struct {
	net.Conn // addresses and deadlines
	raw      conn

	// Owned by the reader; the handshake's goroutine before it.
	blocking bool
	in       window
	err      error // of raw, handed out once in is empty

	// Owned by the writer.
	cur *bufpool.Buf // leaving; cur.B[off:] is left
	off int

	mu  sync.Mutex
	out *bufpool.Buf // collected, by the writer and by the reader's control records
}

// fill waits for more ciphertext.
func (s *tlsShim) fill() { s.err = s.raw.read(&s.in) }

func (s *tlsShim) Read(p []byte) (int, error) {
	for s.in.len() == 0 {
		switch {
		case s.err != nil:
			return 0, s.err
		case !s.blocking:
			return 0, errAgain
		}
		if err := s.flushAll(); err != nil {
			return 0, err
		}
		s.fill()
	}
	n := copy(p, s.in.bytes())
	s.in.used(n)
	return n, nil
}

func (s *tlsShim) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out == nil {
		s.out = bufpool.Get(len(p))
	}
	s.out.B = append(s.out.B, p...)
	return len(p), nil
}

// dirty reports whether something was collected that nobody has begun to write.
func (s *tlsShim) dirty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out != nil
}

// flush writes what was collected. errAgain: some of it is left.
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
		bufpool.Put(s.cur)
		s.cur = nil
	}
}

// push writes cur. With wait it waits for the first progress only, so that its
// caller can tell a slow peer from a stalled one.
func (s *tlsShim) push(wait bool) error {
	try := s.raw.tryWrite
	if wait {
		try = s.raw.write
	}
	for s.off < len(s.cur.B) {
		n, err := try(s.cur.B[s.off:])
		s.off += n
		if err != nil {
			return err
		}
		try = s.raw.tryWrite
	}
	return nil
}

// begun reports whether a part of the ciphertext being written has left.
func (s *tlsShim) begun() bool { return s.off > 0 }

// flushAll is flush for the handshake, which has nothing to do meanwhile.
func (s *tlsShim) flushAll() error {
	for {
		if err := s.flush(true); err != errAgain {
			return err
		}
	}
}
