// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"time"
)

// Rate bounds how often something may happen: on average PerSecond, and Burst
// at once.
type Rate struct {
	// PerSecond is the average. 0: no limit. Range: 0 to 1 000 000 000.
	PerSecond int
	// Burst is how much may come at once after a pause. 0: PerSecond. It is of no
	// use without PerSecond. Range: 0 to 1 000 000 000.
	Burst int
}

// cost is the time that n of the rate stand for.
func (r Rate) cost(n int64) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(r.PerSecond)
}

func (r Rate) burst() int64 {
	if r.Burst > 0 {
		return int64(r.Burst)
	}
	return int64(r.PerSecond)
}

// bucket is a use of a Rate: the time up to which it is paid for.
type bucket struct{ paid time.Duration }

// add pays for n at a time, and returns for how long the rate is exceeded then.
func (b *bucket) add(r Rate, n int64, now time.Duration) (over time.Duration) {
	if r.PerSecond == 0 {
		return 0
	}
	b.paid = max(b.paid, now) + r.cost(n)
	return max(b.paid-now-r.cost(r.burst()), 0)
}

// has reports whether one more would not exceed the rate.
func (b bucket) has(r Rate, now time.Duration) bool { return b.add(r, 1, now) == 0 }

// meter holds a session against Limits.Messages and Limits.Bytes. It is the
// reader's.
type meter struct {
	messages, bytes bucket
	seenM, seenB    int64
}

// count is called after each batch. It returns when the session may be read
// again, or has ended.
func (m *meter) count(c *core) {
	l, now := &c.lim.peer, c.ep.now()
	msgs, bytes := c.msgsIn.Load(), c.bytesIn.Load()
	over := m.messages.add(l.Messages, msgs-m.seenM, now)
	what, rate := "messages", l.Messages.PerSecond
	if b := m.bytes.add(l.Bytes, bytes-m.seenB, now); b > over {
		over, what, rate = b, "bytes", l.Bytes.PerSecond
	}
	m.seenM, m.seenB = msgs, bytes
	switch {
	case over == 0:
	case !l.Throttle:
		c.cut(fmt.Errorf("%w: more than %d %s a second", ErrRateLimit, rate, what))
	case over > c.lim.longestPause():
		c.cut(fmt.Errorf("%w: %d %s a second would take a pause of %v", ErrRateLimit, rate, what, over))
	default:
		c.pause(over)
	}
}

// maxPause is the longest pause of a throttled session.
const maxPause = time.Minute

// longestPause is how long a session may be left unread. Afterwards there must be
// time to read what tells that its peer is alive.
func (l *limits) longestPause() time.Duration {
	probes := min(orNever(l.keepInterval), maxPause) * time.Duration(max(l.keepMisses, 1))
	return min(maxPause, orNever(l.idle)/2, probes)
}

// pause leaves the session unread. Limits of time that the peer can keep only
// by being read stand still.
func (c *core) pause(d time.Duration) {
	if c.timers.partial.Load() != 0 {
		c.timers.partial.Add(int64(d))
	}
	c.timers.paused.Add(int64(d))
	c.in.hint = 0 // the less is read at once, the shorter are the pauses
	c.in.park()
	// What the session has to send meanwhile must not wait, too.
	c.collect.Store(false)
	_ = c.flush()
	c.phase.Store(uint32(phaseThrottled))
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.doneChan():
	}
}

// paceWindow is what Limits.MinRate is averaged over.
const paceWindow = 5 * time.Second

// pace watches over progress that has to reach a rate.
type pace struct {
	since time.Duration // of the window; 0: there is none
	base  int64
	step  int64 // progress shows in steps of this size
}

// slow is told how many bytes have moved so far. It reports whether they were
// fewer than rate a second in a window that is over.
func (p *pace) slow(total int64, rate int, now time.Duration) bool {
	elapsed, moved := now-p.since, total-p.base
	if p.since != 0 && elapsed < paceWindow {
		return false
	}
	slow := p.since != 0 && float64(moved+p.step) < float64(rate)*elapsed.Seconds()
	if p.since == 0 || moved >= p.step {
		p.since, p.base = now, total
	}
	return slow
}
