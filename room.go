// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"time"
)

// waiter is how long a send waits for room.
type waiter struct {
	try bool            // not at all
	ctx context.Context // nil: without a context

	// timeout is armed by the first wait, for all that follow.
	timeout *time.Timer
}

func (w *waiter) stop() {
	if w.timeout != nil {
		w.timeout.Stop()
	}
}

// admit decides about a send when the session is not open or has no room. It is
// called with mu held, may release it meanwhile, and returns with mu held.
func (c *core) admit(w *waiter) error {
	defer w.stop()
	for {
		switch {
		case c.is(stateNew):
			return ErrNotOpen
		case !c.is(stateOpen):
			return c.closedError()
		case c.pending < c.lim.high:
			return nil
		case w.try:
			return ErrBackpressure
		}
		switch c.lim.policy {
		case PolicyFail:
			return ErrBackpressure
		case PolicyDrop:
			c.dropped++
			return errDropped
		case PolicyClose:
			c.mu.Unlock()
			c.cut(ErrSlowConsumer)
			c.mu.Lock()
			return ErrSlowConsumer
		}
		if err := c.waitRoom(w); err != nil {
			return err
		}
	}
}

// errDropped tells Send to return nil for a message that PolicyDrop left out.
var errDropped error = droppedError{}

type droppedError struct{}

func (droppedError) Error() string { return "getty: dropped" }

// waitRoom waits for the low watermark, the end of the session, WriteTimeout or
// the context. Somebody else writes meanwhile: collected bytes are given to a
// writer first, since a waiting handler does not come to flush them.
func (c *core) waitRoom(w *waiter) error {
	room := c.roomLocked()
	writing := c.writing
	c.mu.Unlock()
	defer c.mu.Lock()
	if !writing {
		_ = c.flush()
	}
	if w.timeout == nil {
		w.timeout = time.NewTimer(c.lim.writeTimeout)
	}
	var cancelled <-chan struct{}
	if w.ctx != nil {
		cancelled = w.ctx.Done()
	}
	select {
	case <-room:
		return nil
	case <-w.timeout.C:
		return ErrWriteTimeout
	case <-cancelled:
		return context.Cause(w.ctx)
	}
}

// roomLocked returns a channel that is closed at the low watermark, and when
// the session closes.
func (c *core) roomLocked() chan struct{} {
	if c.room == nil {
		c.room = make(chan struct{})
	}
	return c.room
}

// writable returns a channel that is closed when sending would not wait.
func (c *core) writable() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.is(stateOpen) || c.pending < c.lim.high {
		return closedChan
	}
	return c.roomLocked()
}

// closedChan is closed; it never changes.
var closedChan = func() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()
