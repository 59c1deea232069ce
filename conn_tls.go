// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// tlsConn is a stream under TLS. crypto/tls stands between two windows: the
// engine's with plaintext, and the shim's with what has arrived and what is to
// leave. So records are read in batches, encrypted ones leave in one write, and
// nothing of it waits except in raw, without a buffer.
type tlsConn struct {
	raw  conn
	tls  *tls.Conn
	shim *tlsShim

	// drained is set when crypto/tls holds no whole record: the reader waits
	// without asking it again, on a stack as small as that of plain TCP.
	drained bool

	// taken is how much plaintext the ciphertext inside the shim stands for.
	// It is reported when that has left. Owned by the writer.
	taken int
	owner connOwner // nil during the handshake
}

// maxControl is how much TLS may want to send by itself while the peer does not
// read, with what the writer is about to send: answers to key updates.
const maxControl = 4 * pieceSize

// tlsHandshake runs the handshake of one side over raw, ahead of which in has been
// read. Only closing raw interrupts it.
func tlsHandshake(raw conn, in window, cfg *tls.Config, client bool) (*tlsConn, error) {
	shim := &tlsShim{Conn: raw.netConn(), raw: raw, in: in, blocking: true}
	c := &tlsConn{raw: raw, shim: shim}
	if client {
		c.tls = tls.Client(shim, cfg)
	} else {
		c.tls = tls.Server(shim, cfg)
	}
	done := false
	defer func() {
		if !done { // a function in cfg may have panicked
			shim.drop()
		}
	}()
	err := c.tls.HandshakeContext(context.Background())
	if ferr := shim.flushAll(); err == nil {
		err = ferr
	}
	if err != nil {
		return nil, err
	}
	done, shim.blocking = true, false
	return c, nil
}

func (c *tlsConn) read(in *window) error {
	before := in.len()
	for c.shim.got = c.shim.in.len(); ; {
		if c.drained {
			if c.owner != nil {
				c.owner.waits()
			}
			in.park()
			had := c.shim.in.len()
			c.shim.in.waited = false
			c.shim.fill()
			in.waited = c.shim.in.waited
			c.shim.got += c.shim.in.len() - had
		}
		err := c.decrypt(in, before+maxBatch)
		c.drained = err == errAgain
		if n := c.shim.collected(); n > 0 && c.owner != nil {
			if n > maxControl {
				return fmt.Errorf("%w: %d bytes of TLS's own are waiting", ErrSlowConsumer, n)
			}
			c.owner.controlPending()
		}
		switch {
		case in.len() > before:
			c.shim.got = c.shim.in.len() // the rest is in now
			return nil                   // an error is latched by crypto/tls and comes again
		case !c.drained:
			c.shim.in.release()
			return err
		case c.owner != nil:
			c.owner.nothingYet()
		}
	}
}

func (c *tlsConn) held() (part bool, got int) { return c.shim.in.len() > 0, c.shim.got }

// decrypt takes records out of what has arrived, until there is no whole one or
// in is full. Waiting with a record left inside would hang.
func (c *tlsConn) decrypt(in *window, full int) error {
	for in.len() < full {
		room := in.space()
		n, err := c.readPlain(room)
		if n > 0 {
			in.filled(n)
		}
		if err != nil {
			return err
		}
		if n < len(room) && c.shim.empty() {
			return errAgain // known without asking
		}
	}
	return nil
}

// readPlain guards functions of the tls.Config that are called behind the
// handshake.
func (c *tlsConn) readPlain(p []byte) (n int, err error) {
	defer foreign(&err)
	return c.tls.Read(p)
}

func (c *tlsConn) tryWrite(p []byte) (int, error) { return send(c, &c.taken, p, false) }
func (c *tlsConn) write(p []byte) (int, error)    { return send(c, &c.taken, p, true) }

// convert encrypts one piece into the shim.
func (c *tlsConn) convert(p []byte) (err error) {
	defer foreign(&err)
	c.shim.left = false
	_, err = c.tls.Write(p)
	return err
}

func (c *tlsConn) flush(wait bool) error { return c.shim.flush(wait) }
func (c *tlsConn) begun() bool           { return c.shim.left || c.shim.off > 0 }

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

func (c *tlsConn) slow() {
	c.shim.in.slow()
	slow(c.raw)
}

func (c *tlsConn) close() error      { return c.raw.close() }
func (c *tlsConn) netConn() net.Conn { return c.tls }

func (c *tlsConn) broken() bool { return broken(c.raw) }

func (c *tlsConn) drop() {
	c.shim.drop()
	c.raw.drop()
}
