// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// timers exist only for sessions that asked for cron, keepalive, a limit of time
// or of rate. Each re-arms itself for what is left of its period, so a
// busy session does not touch them.
type timers struct {
	c        *core
	cron     alarm
	watch    alarm
	inCron   atomic.Bool
	probes   int           // keepalives without an answer; the watch alarm's
	probeAt  time.Duration // when the last one was sent
	pace     pace          // of the unfinished message; the watch alarm's
	paced    int64         // when that message began
	lastSent atomic.Int64  // nanoseconds since ep.start
	partial  atomic.Int64  // when the unfinished message in the window began; 0: none
	moved    atomic.Int64  // bytes received, with those that the conn cannot hand over yet
	meter    meter         // the reader's
	paused   atomic.Int64  // all pauses of a throttled session, the present one in full
}

// alarm is a timer whose stop waits for a run in progress.
type alarm struct {
	// Full while it runs. A channel, not a mutex, since callbacks run meanwhile:
	// testing/synctest lets time pass only for who waits on a channel.
	busy    chan struct{}
	t       *time.Timer
	run     func() time.Duration
	stopped bool // guarded by busy
}

// start runs f after d, and again after what f returns; 0 ends it.
func (a *alarm) start(d time.Duration, f func() time.Duration) {
	a.busy = make(chan struct{}, 1)
	a.lock()
	defer a.unlock()
	a.run = f
	a.t = time.AfterFunc(d, a.fire)
}

func (a *alarm) lock()   { a.busy <- struct{}{} }
func (a *alarm) unlock() { <-a.busy }

func (a *alarm) fire() {
	a.lock()
	defer a.unlock()
	if a.stopped {
		return
	}
	if next := a.run(); next > 0 {
		a.t.Reset(next)
	}
}

func (a *alarm) stop() {
	if a.t == nil {
		return
	}
	a.lock()
	defer a.unlock()
	a.stopped = true
	a.t.Stop()
}

// newTimers returns what startTimers will start, or nil. It comes before OnOpen,
// since senders look at it from then on.
func newTimers(c *core) *timers {
	if c.lim.cron == 0 && c.lim.watched() == never && !c.lim.peer.metered() {
		return nil
	}
	return &timers{c: c}
}

// startTimers is called once, after OnOpen and before the reader begins.
func (c *core) startTimers() {
	tm, l := c.timers, c.lim
	if tm == nil {
		return
	}
	c.touchRead()
	c.touchSent()
	if l.cron > 0 {
		tm.cron.start(l.cron, tm.onCron)
	}
	if d := l.watched(); d != never {
		tm.watch.start(d, tm.onWatch)
	}
}

// watched is when the first of the limits that onWatch sees to can be reached.
func (l *limits) watched() time.Duration {
	d := min(orNever(l.idle), orNever(l.messageTimeout), orNever(l.keepInterval), orNever(l.peer.FirstMessageTimeout))
	if l.peer.MinRate > 0 {
		d = min(d, paceWindow)
	}
	return d
}

func (tm *timers) stop() {
	tm.cron.stop()
	tm.watch.stop()
}

const never = time.Duration(math.MaxInt64)

func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return never
	}
	return d
}

// onCron calls OnCron. A run longer than the period leaves periods out.
func (tm *timers) onCron() time.Duration {
	c := tm.c
	if !c.is(stateOpen) {
		return 0
	}
	start, period := c.ep.now(), c.lim.cron
	tm.inCron.Store(true)
	defer tm.inCron.Store(false)
	if err := c.aside(c.top.cron); err != nil {
		c.closeWith(err)
		return 0
	}
	return period - (c.ep.now()-start)%period
}

// aside is guard without the phase, for callbacks that overlap others.
func (c *core) aside(callback func()) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = c.callbackEnded(recover())
		}
	}()
	callback()
	returned = true
	return nil
}

// onWatch holds the session against its time limits and returns when the next
// of them can be reached.
func (tm *timers) onWatch() time.Duration {
	c, l := tm.c, tm.c.lim
	if !c.is(stateOpen) {
		return 0
	}
	now := c.ep.now()
	// While a callback runs nothing is read: that is not the peer's silence.
	busy := phase(c.phase.Load()).callback()
	next := never
	if l.idle > 0 {
		quiet := now - time.Duration(max(c.lastRead.Load(), tm.lastSent.Load(), c.handled.Load()))
		if busy {
			quiet = 0
		}
		if quiet >= l.idle {
			c.cut(ErrIdle)
			return 0
		}
		next = min(next, l.idle-quiet)
	}
	if l.messageTimeout > 0 {
		var waited time.Duration
		if since := tm.partial.Load(); since != 0 && !busy {
			waited = now - time.Duration(since)
		}
		if waited >= l.messageTimeout {
			c.cut(ErrMessageTimeout)
			return 0
		}
		next = min(next, l.messageTimeout-waited)
	}
	if first := l.peer.FirstMessageTimeout; first > 0 && c.msgsIn.Load() == 0 {
		waited := now - c.born - time.Duration(tm.paused.Load())
		if busy {
			waited = 0
		}
		if waited >= first {
			c.cut(ErrFirstMessage)
			return 0
		}
		next = min(next, first-waited)
	}
	if rate := l.peer.MinRate; rate > 0 {
		began := tm.partial.Load()
		unread := phase(c.phase.Load()) != phaseNone
		if began == 0 || began != tm.paced || unread {
			tm.pace, tm.paced = pace{}, began
		}
		if began != 0 && !unread && tm.pace.slow(tm.moved.Load(), rate, now) {
			c.cut(fmt.Errorf("%w: fewer than %d bytes a second", ErrMessageTimeout, rate))
			return 0
		}
		next = min(next, paceWindow)
	}
	if l.keepInterval > 0 {
		left := tm.keepalive(now, busy)
		if left == 0 {
			return 0
		}
		next = min(next, left)
	}
	return next
}

// keepalive sends the heartbeat when it is due and returns the time to the next
// look; 0: the peer is gone. It waits behind nobody: who was not asked cannot
// answer.
func (tm *timers) keepalive(now time.Duration, busy bool) time.Duration {
	c, l := tm.c, tm.c.lim
	heard := time.Duration(max(c.lastRead.Load(), c.handled.Load()))
	if heard >= tm.probeAt || busy {
		tm.probes = 0
	}
	if left := max(heard, tm.probeAt) + l.keepInterval - now; left > 0 {
		return left
	}
	if tm.probes >= l.keepMisses {
		c.cut(ErrKeepalive)
		return 0
	}
	tm.probes++
	tm.probeAt = now
	switch {
	case l.keepFrame != "":
		c.mu.Lock()
		c.sendPast(c.heartbeat)
	case c.framing != nil:
		c.mu.Lock()
		c.sendPast(c.framing.ping)
	}
	return l.keepInterval
}

// heartbeat appends the keepalive's frame. It counts as a message. It is called
// with mu held.
func (c *core) heartbeat(dst []byte) []byte {
	b, err := c.appendUnit(dst, []byte(c.lim.keepFrame))
	if err != nil {
		return dst
	}
	c.msgsOut++
	return b
}
