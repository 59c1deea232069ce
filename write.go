// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"time"

	"github.com/getty-net/getty/internal/bufpool"
)

// The way out. A sender encodes behind the session's pending bytes (beginSend,
// endSend) and, if nobody writes, becomes the writer for one non-blocking write
// of all that is pending. What the kernel does not take then, and what gathered
// meanwhile, is the drainer's (drain.go), so no sender is kept writing for
// others. While more input waits behind the message being handled, sends are
// only collected; the end of the batch, collectLimit, the flusher (flusher.go) or
// Flush write them.

const (
	// collectLimit is how many bytes are collected before they are written.
	collectLimit = 512 << 10
	minOutSize   = 512
	maxOutSize   = 1 << 20
)

// beginSend locks mu and returns the buffer to encode into, nil with an error
// and mu released if nothing can be sent. endSend or cancelSend must follow.
func (c *core) beginSend(w *waiter) (*bufpool.Buf, error) {
	c.mu.Lock()
	if c.is(stateOpen) && c.pending < c.lim.high && !c.crowded() {
		return c.outBuf(), nil
	}
	if err := c.admit(w); err != nil {
		c.mu.Unlock()
		return nil, err
	}
	return c.outBuf(), nil
}

func (c *core) outBuf() *bufpool.Buf {
	if c.buf == nil {
		c.buf = bufpool.Get(max(c.outSize, minOutSize))
	}
	return c.buf
}

// endSend accepts b, the buffer of beginSend with one more frame behind its
// first start bytes, and sees to it that the frame leaves. It releases mu.
func (c *core) endSend(b []byte, start int) error {
	c.buf.B = b
	c.pending += len(b) - start
	c.msgsOut++
	if c.crowded() {
		c.passed += len(b) - start
		c.grant()
	}
	switch {
	case c.writing:
		c.mu.Unlock()
		return nil
	case c.collect.Load() && len(b) < collectLimit && c.pending < c.lim.high:
		if !c.entered {
			c.entered = true
			c.ep.flusher.enter(c)
		}
		c.mu.Unlock()
		return nil
	}
	return c.flushLocked(start)
}

// cancelSend releases mu after an encoding that gave nothing.
func (c *core) cancelSend() {
	c.dropUnused()
	c.grant()
	c.mu.Unlock()
}

func (c *core) dropBuf() {
	bufpool.Put(c.buf)
	c.buf = nil
}

// dropUnused drops a buffer that holds nothing. It is called with mu held.
func (c *core) dropUnused() {
	if c.buf != nil && len(c.buf.B) == 0 {
		c.dropBuf()
	}
}

// flush writes what is pending, unless there is a writer, who does it.
func (c *core) flush() error {
	c.mu.Lock()
	if c.writing || c.halved || c.idle() {
		c.dropUnused()
		c.mu.Unlock()
		return nil
	}
	return c.flushLocked(0)
}

// flushLocked is called with mu held and no writer. It makes the caller the
// writer for one non-blocking write and releases mu. start is where the
// caller's own frame begins: the error tells how much of it had left.
func (c *core) flushLocked(start int) error {
	c.writing = true
	c.take()
	p := c.cur.bytes()
	c.mu.Unlock()

	n, err := c.conn.tryWrite(p)
	if n > 0 && c.timers != nil {
		c.touchSent()
	}

	c.mu.Lock()
	c.wrote(n)
	refused := c.refusal(start)
	if err == nil && c.idle() {
		if err = c.endWriter(false); err == nil {
			c.mu.Unlock()
			return refused
		}
	}
	if err == nil || err == errAgain {
		// There is more: it must not depend on this goroutine's patience.
		c.mu.Unlock()
		c.ep.g.spawn(c.drain)
		return refused
	}
	c.writeFailed(err)
	return &SendError{Written: min(max(n-start, 0), max(len(p)-start, 0)), Err: err}
}

// idle reports whether the writer has nothing to do. It is called with mu held.
func (c *core) idle() bool { return c.pending == 0 && !c.control }

// take moves what is pending to the writer.
func (c *core) take() {
	c.control = false
	c.cur, c.buf = outgoing{buf: c.buf}, nil
}

// outgoing is what the writer is writing.
type outgoing struct {
	buf *bufpool.Buf
	off int
}

func (o *outgoing) bytes() []byte {
	if o.buf == nil {
		return nil
	}
	return o.buf.B[o.off:]
}

// wrote accounts for n bytes that the kernel has taken.
func (c *core) wrote(n int) {
	c.cur.off += n
	c.pending -= n
	c.bytesOut += int64(n - c.headers)
	c.headers = 0
	if c.owed != nil && c.pending < c.lim.high && c.is(stateOpen) {
		add := c.owed
		c.owed = nil
		c.appendControl(add)
	}
	if c.room != nil || c.crowded() {
		c.grant()
	}
	if len(c.cur.bytes()) == 0 {
		c.releaseCur()
	}
}

// releaseCur gives the written buffer back and lets the size of the next one
// follow the traffic, so that a growing append stays the exception.
func (c *core) releaseCur() {
	if c.cur.buf == nil {
		return
	}
	used := max(len(c.cur.buf.B), int(c.peak))
	c.peak = 0
	switch {
	case used > c.outSize:
		c.outSize = min(used, maxOutSize)
	case used < c.outSize/8:
		c.outSize /= 2
	}
	bufpool.Put(c.cur.buf)
	c.cur = outgoing{}
}

// endWriter is called with mu held by a writer that is idle. It half-closes if
// the session is draining, for which it releases mu; an error means that the
// writer has not ended. Only the drainer may wait for the network.
func (c *core) endWriter(drainer bool) error {
	if c.is(stateDraining) && !c.halved {
		if c.framing == nil || c.framing.halfClose() {
			if !drainer && closesSlowly(c.conn) {
				return errAgain
			}
			c.mu.Unlock()
			err := c.closeWrite()
			c.mu.Lock()
			if err == errAgain {
				return err
			}
		}
		c.halved = true
		c.linger()
	}
	c.noWriter()
	return nil
}

// closeWrite is the conn's, for which a conn of somebody else's has no longer
// than for a write.
func (c *core) closeWrite() error {
	if closesSlowly(c.conn) {
		defer time.AfterFunc(c.lim.writeTimeout, func() { c.cut(ErrWriteTimeout) }).Stop()
	}
	return c.conn.closeWrite()
}

// writeFailed is called by the writer, with mu held, and releases it. What is
// pending is lost.
func (c *core) writeFailed(err error) {
	c.halved = true
	c.control = false
	bufpool.Put(c.cur.buf)
	c.cur = outgoing{}
	if c.buf != nil {
		c.dropBuf()
	}
	muted := c.mute(err)
	c.noWriter()
	c.mu.Unlock()
	if !muted {
		c.cut(err)
	}
}

func (c *core) noWriter() {
	c.writing = false
	c.dropUnused()
	c.wakeQuiet()
}

// wakeQuiet wakes waitWriter to look again. It is called with mu held.
func (c *core) wakeQuiet() {
	if c.quiet != nil {
		close(c.quiet)
		c.quiet = nil
	}
}

// controlPending is called by a conn that has bytes of its own to send, such as
// TLS's answer to a key update. Before the session is open they wait for the
// handshake's next write, which must not meet another writer.
func (c *core) controlPending() {
	c.mu.Lock()
	c.control = c.seen && !c.halved
	c.mu.Unlock()
	_ = c.flush()
}
