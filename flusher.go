// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"sync"
	"time"
)

// collectTime is how long collected bytes wait, at most, while a handler runs on.
const collectTime = time.Millisecond

// flusher bounds how long sends stay collected: a session enters it with the
// first one, and the next tick has written what is still there. One timer serves
// all sessions of an endpoint, for arming and stopping one for each batch costs
// as much as several messages. Without sessions there is no tick.
type flusher struct {
	g *group // counts the tick that is to come

	mu   sync.Mutex
	due  []*core // entered since the last tick
	last []*core // empty, of an earlier tick, to be used again
	t    *time.Timer
}

// enter has c flushed at the next tick. The caller holds the session's mu.
func (f *flusher) enter(c *core) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due = append(f.due, c)
	if len(f.due) > 1 {
		return
	}
	f.g.add()
	if f.t == nil {
		f.t = time.AfterFunc(collectTime, f.tick)
		return
	}
	f.t.Reset(collectTime)
}

func (f *flusher) tick() {
	defer f.g.done()
	due := f.take()
	for _, c := range due {
		if !c.overdue() {
			f.enter(c)
		}
	}
	f.giveBack(due)
}

// take returns those that have entered. The list is the caller's until giveBack:
// ticks may overlap.
func (f *flusher) take() []*core {
	f.mu.Lock()
	defer f.mu.Unlock()
	due := f.due
	f.due, f.last = f.last, nil
	return due
}

func (f *flusher) giveBack(due []*core) {
	clear(due)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = due[:0]
}

// overdue leaves what was collected to the drainer, so that no session waits for
// another one's write. It reports false if it has to be called again: somebody is
// in the middle of a send, who takes it along, and nothing of this one may hold up
// the others.
func (c *core) overdue() bool {
	if !c.mu.TryLock() {
		c.collect.Store(false)
		return false
	}
	defer c.mu.Unlock()
	c.entered = false
	if !c.writing && !c.halved && !c.idle() {
		c.writing = true
		c.take()
		c.ep.g.spawn(c.drain)
	}
	return true
}
