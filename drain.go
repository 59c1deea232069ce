// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"time"
)

// drain is the temporary writer of a session whose peer does not keep up: it
// begins when a write was left unfinished and ends when nothing is pending.
// Whoever starts it has set c.writing.
func (c *core) drain() {
	var stall *time.Timer // armed while waiting
	var moved int64
	var pace pace
	if _, ok := c.conn.(converter); ok {
		pace.step = pieceSize
	}
	for {
		moving := false // inside of the conn, perhaps
		n, err := c.conn.tryWrite(c.cur.bytes())
		if err == errAgain && n == 0 {
			if stall == nil {
				stall = time.AfterFunc(c.lim.writeTimeout, func() { c.cut(ErrWriteTimeout) })
			} else {
				stall.Reset(c.lim.writeTimeout)
			}
			n, err = c.conn.write(c.cur.bytes())
			// Progress of any size: the peer is slow, not stalled.
			stall.Stop()
			moving = err == nil || err == errAgain
		}
		if (n > 0 || moving) && c.timers != nil {
			c.touchSent()
		}
		if rate := c.lim.peer.MinRate; rate > 0 {
			if moved += int64(n); pace.slow(moved, rate, c.ep.now()) {
				c.cut(fmt.Errorf("%w: fewer than %d bytes a second", ErrSlowConsumer, rate))
			}
		}
		if c.drained(n, err) {
			return
		}
	}
}

// drained accounts for one write of the drainer and reports whether it ends.
func (c *core) drained(n int, err error) bool {
	c.mu.Lock()
	c.wrote(n)
	_ = c.refusal(0) // its sender has gone; it is counted
	if err != nil && err != errAgain {
		c.writeFailed(err)
		return true
	}
	defer c.mu.Unlock()
	if len(c.cur.bytes()) > 0 || err == errAgain {
		return false
	}
	if c.idle() {
		return c.endWriter(true) == nil
	}
	c.take()
	return false
}
