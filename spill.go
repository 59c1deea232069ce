// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"io"
	"math"
	"time"
)

// What a peer sends after the end of a session has begun is discarded. Behind an
// error it is read as fast as it comes for maxSpill bytes, each read counting for
// spillCost more, and little at a time from then on: the rest backs up at the
// peer, whose end still shows.
const (
	maxSpill   = 256 << 10
	spillCost  = 4 << 10
	spillPause = 20 * time.Millisecond
)

// spill is how much may still be read as fast as it comes.
type spill int

// wait comes before each read.
func (s spill) wait(c *core) {
	if s >= 0 || c.is(stateClosed) {
		return
	}
	c.in.slow()
	slow(c.conn)
	time.Sleep(spillPause)
}

func (s *spill) count(n int) { *s -= spill(n + spillCost) }

// readOut discards what arrives after closing has begun.
func (c *core) readOut() error {
	left := c.spill()
	d, undecoded := c.conn.(discarder)
	for !c.discard() {
		left.wait(c)
		read := c.readCounted
		if undecoded {
			read = d.discard
		}
		n, err := read()
		if err != nil {
			return err
		}
		c.touchRead()
		left.count(n)
	}
	return io.EOF
}

// spill has no limit unless something went wrong. What the peer said is no reason.
func (c *core) spill() spill {
	c.mu.Lock()
	cause := c.cause
	c.mu.Unlock()
	_, said := errors.AsType[*CloseError](cause)
	if cause == nil || !said && (errors.Is(cause, ErrShutdown) || errors.Is(cause, ErrRestart)) {
		return math.MaxInt
	}
	return maxSpill
}
