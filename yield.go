// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"runtime"
	"time"
)

// yielder decides whether the reader lets others run before it reads again. On a
// busy processor its peer has often sent more by then: that saves a read that
// finds nothing, and going to sleep and being woken. Where nothing has come, it
// soon stops asking. See docs/adr/0013-yield-before-waiting.md.
type yielder struct {
	slept  moment // until when
	missed uint8  // yields in a row after which nothing was there
	skip   uint8  // reads until the next yield
}

// moment is a time on the endpoint's clock, of 1024 ns each and without its upper
// bits: it is compared with those of the last hour only.
type moment uint32

func momentOf(now time.Duration) moment { return moment(now >> 10) } //nolint:gosec // see above

const (
	// maxYield is how long a reader goes on without sleep. The runtime wakes those
	// that sleep when nobody is left to run, so who never sleeps keeps them waiting.
	maxYield = moment(2 * time.Millisecond >> 10)
	// maxMissed yields in a row that found nothing have 63 reads skipped.
	maxMissed = 6
)

// due reports whether to yield before the next read. now is when the last one
// returned.
func (y *yielder) due(now moment) bool {
	if y.skip > 0 {
		y.skip--
		return false
	}
	return now-y.slept < maxYield
}

// paid is told whether a yield was worth it: the read did not have to wait.
func (y *yielder) paid(yes bool) {
	if yes {
		y.missed = 0
		return
	}
	y.missed = min(y.missed+1, maxMissed)
	y.skip = 1<<y.missed - 1
}

// readMore waits for bytes, perhaps by letting others run.
func (c *core) readMore() error {
	yields := c.yielder.due(momentOf(time.Duration(c.lastRead.Load())))
	if yields {
		if c.in.len() == 0 {
			c.in.park() // they find its buffer warm
		}
		runtime.Gosched()
	}
	c.in.waited = false
	err := c.conn.read(&c.in)
	if yields {
		c.yielder.paid(!c.in.waited)
	}
	return err
}
