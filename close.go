// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"io"
	"time"
)

// The end of a session. Whatever ends it marks it first (beginClose): from then
// on nothing is delivered or accepted. closeWith lets the writer flush and
// half-close while the reader discards input until the peer closes or
// CloseTimeout; cut ends the conn at once. The reader comes last and finishes.

// closeWith ends the session gracefully with cause, unless it is ending.
// It returns without waiting for anything.
func (c *core) closeWith(cause error) {
	cause = harmless(cause)
	c.mu.Lock()
	if c.is(stateNew) {
		c.mu.Unlock()
		c.cut(cause)
		return
	}
	if !c.beginClose(cause) {
		c.mu.Unlock()
		return
	}
	c.sayFarewell()
	switch {
	case c.halved: // there is nothing to flush: it was muted
		c.mu.Unlock()
		c.cut(nil)
	case c.writing: // the writer half-closes at its end
		c.mu.Unlock()
	default:
		_ = c.flushLocked(0)
	}
}

// beginClose is called with mu held. The first cause wins.
func (c *core) beginClose(cause error) bool {
	if c.closing() {
		return false
	}
	if !c.is(stateMuted) {
		c.cause = cause
	}
	c.state.Store(uint32(stateDraining))
	c.dismiss()
	if c.done != nil {
		close(c.done)
	}
	if c.ctx != nil {
		c.ctx.cancel(c.closedError())
	}
	return true
}

// mute is called with mu held when a write has failed with cause. It reports
// whether the session was open: then what the peer has sent up to now is still
// delivered, and the reader ends the session, with this cause.
func (c *core) mute(cause error) bool {
	if !c.is(stateOpen) {
		return false
	}
	c.cause = cause
	c.handled.Store(int64(c.ep.now()))
	c.state.Store(uint32(stateMuted))
	c.dismiss()
	c.lingerT = time.AfterFunc(c.lim.closeTimeout, c.onSilence)
	return true
}

// onSilence ends a muted session that has waited for input for CloseTimeout.
func (c *core) onSilence() {
	c.mu.Lock()
	if !c.is(stateMuted) {
		c.mu.Unlock()
		return
	}
	left := c.lim.closeTimeout
	if !phase(c.phase.Load()).callback() {
		left -= c.ep.now() - time.Duration(max(c.lastRead.Load(), c.handled.Load()))
	}
	if left > 0 {
		c.lingerT.Reset(left)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.cut(nil)
}

// linger bounds how long the peer may take to close after the half-close.
// It is called with mu held.
func (c *core) linger() {
	if c.is(stateDraining) && c.lingerT == nil {
		c.lingerT = time.AfterFunc(c.lim.closeTimeout, func() { c.cut(nil) })
	}
}

// cut ends the session at once, with cause unless it has one already. It returns
// without waiting for anything.
func (c *core) cut(cause error) {
	cause = harmless(cause)
	c.mu.Lock()
	begun := c.beginClose(cause)
	if c.is(stateClosed) {
		c.mu.Unlock()
		return
	}
	c.state.Store(uint32(stateClosed))
	c.cutting = true
	if begun {
		c.lastWords()
	}
	if c.lingerT != nil {
		c.lingerT.Stop()
	}
	conn := c.conn
	c.mu.Unlock()
	end := func() {
		_ = conn.close()
		c.mu.Lock()
		c.cutting = false
		c.wakeQuiet()
		c.mu.Unlock()
	}
	if closesSlowly(conn) {
		c.ep.g.spawn(end)
		return
	}
	end()
}

// readEnded is called by the reader, which got err. After the end of the stream
// what handlers have sent is still flushed; after an error nothing can be.
func (c *core) readEnded(err error) {
	if isEOF(err) && c.writerKnows() {
		c.waitWriter()
	}
	switch {
	case c.is(stateMuted) || !errors.Is(err, io.EOF):
		c.cut(err)
	case c.framing != nil && c.delivers():
		c.closeWith(c.framing.eof())
	case c.in.len() > 0 && c.is(stateOpen):
		c.closeWith(io.ErrUnexpectedEOF)
	default:
		c.closeWith(io.EOF)
	}
	c.waitWriter()
	c.cut(nil)
	c.waitWriter()
	c.finish()
}

// isEOF also knows what crypto/tls makes of it.
func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// writerKnows reports whether a writer is about to fail. The kernel tells once why
// a connection is broken; to the reader it looks like the end of the stream then.
func (c *core) writerKnows() bool {
	c.mu.Lock()
	writing, cn := c.writing, c.conn
	c.mu.Unlock()
	return writing && broken(cn)
}

// waitWriter returns when there is no writer, nobody is closing the conn and,
// unless the conn is closed, nothing is left to write.
func (c *core) waitWriter() {
	c.mu.Lock()
	for c.writing || c.cutting {
		if c.quiet == nil {
			c.quiet = make(chan struct{})
		}
		quiet := c.quiet
		c.mu.Unlock()
		<-quiet
		c.mu.Lock()
	}
	c.mu.Unlock()
}

// finish is the last of the session: nothing reads any more.
func (c *core) finish() {
	c.mu.Lock()
	c.halved = true // no writer begins
	tm, cause := c.timers, c.cause
	c.mu.Unlock()
	c.waitWriter()
	c.drop()
	if tm != nil {
		tm.stop()
	}
	c.ep.leaving(c)
	// Deferred, since OnClose may call runtime.Goexit.
	defer c.ep.left(c, cause)
	if err := c.guard(phaseClose, func() error { return c.top.closed(cause) }); err != nil {
		c.ep.logClose(c, err)
	}
}

// drop gives back all buffers. Nothing reads or writes any more.
func (c *core) drop() {
	c.in.release()
	if c.framing != nil {
		c.framing.drop()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.drop()
	if c.buf != nil {
		c.dropBuf()
	}
}

// closedError is what calls on a closed session fail with. It is called with mu held.
func (c *core) closedError() error {
	if c.cause == nil {
		return ErrClosed
	}
	return &closedCause{c.cause}
}

// closedCause is ErrClosed with the reason.
type closedCause struct{ cause error }

func (e *closedCause) Error() string   { return ErrClosed.Error() + ": " + e.cause.Error() }
func (e *closedCause) Unwrap() []error { return []error{ErrClosed, e.cause} }

// doneChan returns the channel of Session.Done.
func (c *core) doneChan() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		if c.closing() {
			return closedChan
		}
		c.done = make(chan struct{})
	}
	return c.done
}
