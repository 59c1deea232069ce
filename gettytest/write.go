// SPDX-License-Identifier: Apache-2.0

package gettytest

import (
	"net"
	"syscall"
	"time"
)

// Write writes all of p, in pieces if Faults.MaxWrite says so, and waits for
// room in the buffer. It returns less than len(p) only with an error:
// net.ErrClosed, os.ErrDeadlineExceeded, EPIPE after CloseWrite or when the
// peer's Close is known, or ECONNRESET.
func (c *Conn) Write(p []byte) (n int, err error) {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	// Not a mutex: waiting for one neither ends with a deadline nor counts as
	// blocked in a bubble.
	for c.writing {
		next, err := c.unwritable()
		if err != nil {
			return 0, c.opError("write", err)
		}
		w.wait(next, c.writeBy)
	}
	c.writing = true
	defer func() {
		c.writing = false
		w.cond.Broadcast()
	}()
	if _, err := c.unwritable(); err != nil || len(p) == 0 {
		return 0, c.opError("write", err)
	}
	for n < len(p) && err == nil {
		size := upTo(len(p)-n, c.out.faults.MaxWrite, c.out.dice)
		var m int
		m, err = c.writePiece(p[n:n+size], n+size < len(p))
		n += m
	}
	return n, c.opError("write", err)
}

// unwritable is why Write cannot go on, or nil and when that may change.
func (c *Conn) unwritable() (next time.Time, err error) {
	now := time.Now()
	if err := c.unusable(c.writeBy, now); err != nil {
		return next, err
	}
	end, next := c.in.ending(now)
	switch {
	case end == kindReset:
		c.reset = true
		return next, syscall.ECONNRESET
	case end == kindBreak: // what came before it can still be read
		return next, syscall.ECONNRESET
	case end == kindClose || c.halved:
		return next, syscall.EPIPE
	}
	return next, nil
}

// writePiece writes one piece, as there is room. All of it has one delay, so
// that the number of random choices does not depend on the reader.
func (c *Conn) writePiece(p []byte, cut bool) (n int, err error) {
	delay := c.out.faults.delay(c.out.dice)
	for {
		next, err := c.unwritable()
		if err != nil || n == len(p) {
			// A piece is complete even if the conn ended right behind it.
			if n == len(p) {
				err = nil
			}
			return n, err
		}
		m := min(len(p)-n, c.out.room())
		if m == 0 {
			c.w.wait(next, c.writeBy)
			continue
		}
		if after := c.out.faults.ResetAfter; after > 0 {
			m = int(min(int64(m), after-c.out.sent))
		}
		c.send(p[n:n+m], time.Now().Add(delay), cut && n+m == len(p))
		n += m
		c.w.cond.Broadcast()
	}
}

// send puts bytes on their way and breaks the conn behind the last that may pass.
func (c *Conn) send(p []byte, due time.Time, cut bool) {
	out := c.out
	out.sent += int64(len(p))
	// Also to a closed peer, where it takes room: the news travel no faster.
	out.pushData(p, due, cut)
	if c.peer.closed {
		c.in.push(segment{kind: kindReset, due: out.last.Add(out.faults.Latency), stuck: out.held})
	}
	if after := out.faults.ResetAfter; after > 0 && out.sent >= after {
		out.push(segment{kind: kindBreak, due: due})
		c.reset = true
	}
}

// CloseWrite ends the stream to the peer, who reads EOF behind what was written.
// Reading goes on. A Write that waits fails.
func (c *Conn) CloseWrite() error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	switch {
	case c.closed:
		return c.opError("close", net.ErrClosed)
	case c.reset:
		return c.opError("shutdown", syscall.ENOTCONN)
	case !c.halved:
		c.halved = true
		c.out.push(segment{kind: kindFin, due: time.Now().Add(c.out.faults.Latency)})
		c.w.cond.Broadcast()
	}
	return nil
}

// Close ends this end: calls that wait here, and all later ones, fail with
// net.ErrClosed. The peer reads what was written, then EOF, unless bytes have
// arrived that were not read, or arrive later: that resets the peer.
func (c *Conn) Close() error {
	w := c.w
	w.mu.Lock()
	if c.closed {
		w.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	if !c.reset && !c.peer.closed {
		c.tellClose(time.Now())
	}
	c.closed = true
	w.cond.Broadcast()
	last := c.peer.closed
	w.mu.Unlock()
	if last && w.gone != nil {
		w.gone()
	}
	return nil
}

// tellClose lets the peer know that this end closes.
func (c *Conn) tellClose(now time.Time) {
	latency := c.out.faults.Latency
	lost := c.in.unread()
	if lost != nil && lost.arrived(now) {
		c.out.push(segment{kind: kindReset, due: now.Add(latency)})
		return
	}
	c.out.push(segment{kind: kindClose, due: now.Add(latency)})
	if lost != nil {
		c.out.push(segment{kind: kindReset, due: lost.due.Add(latency), stuck: lost.stuck})
	}
}

// Reset breaks the conn at once, as a firewall between the two ends may: calls
// on both fail with ECONNRESET, and what was not read is lost. Both still have
// to be closed.
func (c *Conn) Reset() {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.client.reset, w.server.reset = true, true
	w.cond.Broadcast()
}
