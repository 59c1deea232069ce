// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"runtime/debug"
	"time"

	engine "github.com/getty-net/getty"
)

// cron is the timer of OnCron. It is guarded by the session's mu.
type cron struct {
	timer *time.Timer
	busy  bool // it rings: the next time is set afterwards
	ended bool
}

// again sets the next time, unless the timer has not begun or rings.
func (c *cron) again(period time.Duration) {
	if c.timer != nil && !c.busy && !c.ended {
		c.timer.Reset(period)
	}
}

func (c *cron) stop() {
	c.ended = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

func (s *session) startCron() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.cron.ended {
		s.cron.timer = time.AfterFunc(s.set.Load().period, s.ring)
	}
}

// ring runs OnCron and sets the next time. It waits for OnCron unless that runs
// on a task pool.
func (s *session) ring() {
	if s.IsClosed() {
		s.closing()
		return
	}
	s.mu.Lock()
	s.cron.busy = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cron.busy = false
		s.cron.again(s.set.Load().period)
	}()
	s.onPool(func() {
		if l := s.link(); l != nil {
			l.ping()
		}
		if listener := s.set.Load().listener; listener != nil {
			listener.OnCron(s)
		}
	})
}

// onPool runs a callback on the task pool, or here if there is none, unless the
// session is closed. A panic ends the session.
func (s *session) onPool(callback func()) {
	guarded := func() {
		if s.IsClosed() {
			return
		}
		defer func() {
			if r := recover(); r != nil {
				s.panicked(r)
			}
		}()
		callback()
	}
	if ep := s.endpoint(); ep != nil && ep.pool != nil {
		ep.pool.AddTaskAlways(guarded)
		return
	}
	guarded()
}

// panicked ends the session of a callback that panicked.
func (s *session) panicked(value any) {
	if l := s.link(); l != nil {
		l.fail(&engine.PanicError{Value: value, Stack: debug.Stack()})
	}
}
