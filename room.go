// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"slices"
	"time"
)

// dismiss wakes all who wait for room, to look at the state. It is called with
// mu held.
func (c *core) dismiss() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	for _, turn := range c.queue {
		close(turn)
	}
	c.queue = nil
}

// waiter is how long a send waits for room.
type waiter struct {
	try bool            // not at all
	ctx context.Context // nil: without a context

	// timeout is armed by the first wait, for all that follow.
	timeout *time.Timer
	turn    bool // it has waited
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
		case c.pending < c.lim.high && (w.turn || c.mayPass()):
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
		if err := c.waitTurn(w); err != nil {
			return err
		}
	}
}

// turnSize is how many bytes may be sent past the senders that wait before the
// first of them must have had its turn. Changing over for each message would
// cost more than the message.
const turnSize = 32 << 10

// crowded reports whether senders wait.
func (c *core) crowded() bool { return c.granted || len(c.queue) > 0 }

// mayPass reports whether a sender that has not waited may take room.
func (c *core) mayPass() bool {
	return !c.crowded() || (c.filling && c.passed < min(turnSize, (c.lim.high-c.lim.low)/2))
}

// grant lets the first sender of the queue go on, and tells who asked for
// Writable, if it is time for that: from the low watermark on, one after the
// other, until the high one is reached. It is called with mu held.
func (c *core) grant() {
	switch {
	case c.pending >= c.lim.high:
		c.filling = false
	case c.pending <= c.lim.low:
		c.filling = true
	}
	if !c.filling {
		return
	}
	if !c.granted && len(c.queue) > 0 {
		c.granted = true
		close(c.queue[0])
		c.queue = slices.Delete(c.queue, 0, 1)
	}
	if c.room != nil && c.pending <= c.lim.low && c.mayPass() {
		close(c.room)
		c.room = nil
	}
}

// errDropped tells Send to return nil for a message that PolicyDrop left out.
var errDropped error = droppedError{}

type droppedError struct{}

func (droppedError) Error() string { return "getty: dropped" }

// waitTurn waits for room, in turn, for the end of the session, WriteTimeout or
// the context. Somebody else writes meanwhile: collected bytes are given to a
// writer first, since a waiting handler does not come to flush them.
func (c *core) waitTurn(w *waiter) error {
	turn := make(chan struct{})
	place := len(c.queue)
	if w.turn {
		place = 0 // the room was gone when its turn came
	}
	c.queue = slices.Insert(c.queue, place, turn)
	c.grant()
	writing := c.writing
	c.mu.Unlock()
	if !writing {
		_ = c.flush()
	}
	err := c.await(w, turn)
	c.mu.Lock()
	if i := slices.Index(c.queue, turn); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
	} else {
		c.granted = false
	}
	if err != nil {
		c.grant() // it may have been this one's turn
	}
	w.turn, c.passed = true, 0
	return err
}

// await ends when turn is closed, with nil, or with the reason not to wait longer.
func (c *core) await(w *waiter, turn <-chan struct{}) error {
	if w.timeout == nil {
		w.timeout = time.NewTimer(c.lim.writeTimeout)
	}
	var cancelled <-chan struct{}
	if w.ctx != nil {
		cancelled = w.ctx.Done()
	}
	select {
	case <-turn:
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
	if !c.is(stateOpen) || (c.pending < c.lim.high && c.mayPass()) {
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
