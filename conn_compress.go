// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/getty-net/getty/internal/bufpool"
)

// compressConn is a stream under compression. What arrives is expanded in
// steps, as much as the engine's window takes; raw is waited for only when
// nothing can be expanded any more. What leaves is compressed in independent
// pieces, each of which is all the peer needs to expand it, so encoders and
// decoders are borrowed for a piece and nothing of them waits.
type compressConn struct {
	raw    conn
	format *format

	// Owned by the reader; the handshake's goroutine before it.
	src     window // compressed
	exp     expander
	err     error // of raw or of exp: the reader's last word
	drained bool  // nothing of src can be expanded without more
	owner   connOwner
	got     int // bytes that are not in the plaintext yet
	barren  int // bytes beyond maxSterile for each of plaintext
	sum     expansion

	// Owned by the writer.
	cur   *bufpool.Buf // compressed; cur.B[off:] is left
	off   int
	taken int    // how much plaintext cur stands for: it is reported when cur has left
	head  string // of the stream, in front of the first piece
	ended bool
}

// What becomes hardly anything still has to be looked at: behind maxBarren bytes
// that are more than maxSterile for one of plaintext it counts as it comes. A
// piece may be that long before any of it can be expanded, and a byte that is
// sent by itself takes up to 13.
const (
	maxBarren  = 256 << 10
	maxSterile = 16
)

func newCompressConn(raw conn, f *format) *compressConn {
	c := &compressConn{raw: raw, format: f, head: f.head}
	c.sum.ratio = int64(f.ratio)
	c.exp = f.expander(&c.sum)
	return c
}

// compressHandshake exchanges preambles over raw, ahead of which in has been read.
// Only closing raw interrupts it.
// The client goes first: over a conn without buffers two writers would wait for
// each other, and elsewhere it takes no longer.
func compressHandshake(raw conn, in window, f *format, client bool) (*compressConn, error) {
	c := newCompressConn(raw, f)
	c.src = in
	if f.how.isRaw() {
		return c, nil
	}
	if client {
		if err := c.sendPreamble(client); err != nil {
			return nil, err
		}
	}
	peer, err := c.readPreamble(client)
	if err == nil && !client {
		// Also to a peer that compresses differently: it is to know as well.
		err = c.sendPreamble(client)
	}
	if err == nil && peer != f.how {
		err = f.how.mismatch(peer)
	}
	if err != nil {
		c.src.release()
		return nil, err
	}
	return c, nil
}

func (c *compressConn) sendPreamble(client bool) error {
	return writeAll(c.raw, c.format.how.preamble(client))
}

func (c *compressConn) readPreamble(client bool) (Compression, error) {
	for {
		peer, ok, err := parsePreamble(c.src.bytes(), !client)
		if ok {
			c.src.used(preambleSize)
			return peer, nil
		}
		if err == nil {
			if err = c.raw.read(&c.src); err == nil {
				continue
			}
		}
		return 0, fmt.Errorf("%w: %s here, no preamble from the peer: %w", ErrCompression, c.format.how, err)
	}
}

func (c *compressConn) read(in *window) error {
	before := in.len()
	for c.got = c.src.len(); ; {
		if c.drained && c.err == nil {
			if c.owner != nil {
				c.owner.waits()
			}
			c.exp.rest()
			in.park()
			had := c.src.len()
			c.src.waited, c.src.single = false, true // a little may become a lot
			c.err = c.raw.read(&c.src)
			in.waited = c.src.waited
			c.got += c.src.len() - had
		}
		c.expand(in, before+maxBatch)
		if over := c.barren - maxBarren; over > 0 && c.owner != nil {
			c.barren -= over
			c.owner.charge(over)
		}
		switch {
		case in.len() > before:
			c.got = c.src.len() // the rest is in now
			return nil          // an error comes again
		case c.err != nil && c.drained:
			c.exp.rest()
			c.src.release()
			return c.err
		case c.owner != nil:
			c.owner.nothingYet()
		}
	}
}

func (c *compressConn) held() (part bool, got int) {
	part, got = heldBelow(c.raw)
	return part || c.src.len() > 0 || !c.exp.whole(), got + c.got
}

func (c *compressConn) slow() {
	c.src.slow()
	slow(c.raw)
}

// discard forgets what arrives, but for one byte; see core.discard.
func (c *compressConn) discard() (n int, err error) {
	if c.err == nil {
		c.src.used(max(c.src.len()-1, 0))
		had := c.src.len()
		c.err = c.raw.read(&c.src)
		n = c.src.len() - had
	}
	return n, c.err
}

// expand takes out of src what it can, until in is full. Each step gives no more
// than in has room for, so a small input never becomes more than that at once,
// and what expands a lot is looked at before there is much of it.
func (c *compressConn) expand(in *window, full int) {
	const ratio = 16
	had, taken := in.len(), 0
	for c.drained = false; in.len() < full && in.len()-had <= ratio*taken; {
		out, used, err := c.exp.expand(in.space(), c.src.bytes())
		c.src.used(used)
		taken += used
		c.barren = max(c.barren+used-maxSterile*out, 0)
		if out > 0 {
			in.filled(out)
		}
		if err == nil && !c.sum.count(used, out) {
			err = errSwells
		}
		switch {
		case err == errSwells: //nolint:errorlint // never wrapped
			c.spoil(fmt.Errorf("%w: expands to more than %d times its size", ErrMessageTooLong, c.format.ratio))
			return
		case err != nil:
			c.spoil(fmt.Errorf("%w: the bytes are not %s: %w", ErrCompression, c.format.how, err))
			return
		case out == 0 && used == 0:
			c.drained = true
			if errors.Is(c.err, io.EOF) && (c.src.len() > 0 || !c.exp.whole()) {
				c.err = io.ErrUnexpectedEOF
			}
			return
		}
	}
}

// spoil lets nothing be expanded any more.
func (c *compressConn) spoil(err error) {
	c.err, c.drained = err, true
	c.exp.drop()
	c.exp = spoiled{}
}

func (c *compressConn) tryWrite(p []byte) (int, error) { return c.send(p, false) }
func (c *compressConn) write(p []byte) (int, error)    { return c.send(p, true) }

func (c *compressConn) send(p []byte, wait bool) (int, error) {
	if c.cur == nil && len(p) == 0 {
		return c.push(nil, wait) // raw may have something left inside
	}
	return send(c, &c.taken, p, wait)
}

// convert compresses one piece into cur.
func (c *compressConn) convert(p []byte) error {
	c.cur = bufpool.Get(len(c.head) + c.format.bound(len(p)))
	c.cur.B = c.format.compress(append(c.cur.B, c.head...), p)
	c.head = ""
	return nil
}

func (c *compressConn) begun() bool { return c.off > 0 }

// flush writes cur; see converter.
func (c *compressConn) flush(wait bool) error {
	if c.cur == nil {
		return nil
	}
	for c.off < len(c.cur.B) {
		n, err := c.push(c.cur.B[c.off:], wait)
		c.off += n
		if err != nil {
			return err
		}
		wait = false
	}
	bufpool.Put(c.cur)
	c.cur, c.off = nil, 0
	return nil
}

func (c *compressConn) push(p []byte, wait bool) (int, error) {
	if wait {
		return c.raw.write(p)
	}
	return c.raw.tryWrite(p)
}

// closeWrite ends the stream first, where the format has an end.
func (c *compressConn) closeWrite() error {
	if !c.ended && c.format.tail != "" {
		c.cur = bufpool.Get(len(c.format.tail))
		c.cur.B = append(c.cur.B, c.format.tail...)
	}
	c.ended = true
	if err := c.flush(false); err != nil {
		return err
	}
	return c.raw.closeWrite()
}

func (c *compressConn) close() error      { return c.raw.close() }
func (c *compressConn) netConn() net.Conn { return c.raw.netConn() }

func (c *compressConn) broken() bool { return broken(c.raw) }

func (c *compressConn) drop() {
	c.src.release()
	c.exp.drop()
	bufpool.Put(c.cur)
	c.cur = nil
	c.raw.drop()
}
