// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// pool is the set of sessions of a client: a fixed number of slots, each used
// by one attempt to connect and then by the session that came of it, until
// after that session's OnClose. Only the holder of a slot gives it back, so
// used never exceeds size. Nothing runs for a full pool; reconnect.go has the
// worker that fills it.
type pool struct {
	ep  *endpoint
	cfg *ClientConfig
	// connect opens one session. It reports the session's core through made
	// before anything of it runs.
	connect func(ctx context.Context, made func(*core)) error
	// again is the user's Reconnect.
	again func(c *core, cause error) bool

	ctx    context.Context // ends with the client
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	used    int             // slots with an attempt or a session
	retired int             // slots that Reconnect declined to fill
	slots   map[*core]*slot // of sessions, opened or about to be
	live    []*core         // in rotation
	retiree []*core         // retired, and in use while nothing is in rotation
	next    int             // round robin, of live or retiree
	lost    int             // sessions to be replaced, for the statistics
	changed chan struct{}   // closed on the next change; nil if nobody waits
	rec     reconnecter
}

// slot is what a pool remembers of a session.
type slot struct {
	round  int           // of attempts, for counting failures
	opened time.Duration // on the endpoint's clock; 0: OnOpen has not returned
	dialed bool          // it is not counted in dialing any more
	ended  bool          // the session has; the slot is given back after its OnClose
}

func (p *pool) init(ep *endpoint, cfg *ClientConfig) {
	p.ep, p.cfg = ep, cfg
	p.slots = make(map[*core]*slot)
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.rec.event = make(chan struct{}, 1)
	ep.onListed, ep.onLeave, ep.onLeft = p.onListed, p.onLeave, p.onLeft
}

// missing is how many slots are free. It is called with mu held.
func (p *pool) missing() int { return p.cfg.PoolSize - p.retired - p.used }

// notify wakes who waits for a change. It is called with mu held.
func (p *pool) notify() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// onListed puts a session into rotation after its OnOpen.
func (p *pool) onListed(c *core) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[c]
	s.opened = p.ep.now()
	p.dialed(s)
	p.live = append(p.live, c)
	if p.lost > 0 {
		p.lost--
		p.rec.reconnects++
	}
	p.notify()
}

// onLeave takes an ended session out of rotation before its OnClose.
func (p *pool) onLeave(c *core) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = without(p.live, c)
	p.retiree = without(p.retiree, c)
	if s := p.slots[c]; s != nil {
		s.ended = true
	}
}

func without(list []*core, c *core) []*core {
	return slices.DeleteFunc(list, func(l *core) bool { return l == c })
}

// retire gives the slot of a session to another one. It reports whether the
// session had one: that of a session that has ended is given back by onLeft.
func (p *pool) retire(c *core) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.slots[c]; s == nil || s.opened == 0 || s.ended {
		return false
	}
	delete(p.slots, c)
	p.live, p.retiree = without(p.live, c), append(p.retiree, c)
	p.used--
	p.lost++
	p.spread()
	p.kick()
	return true
}

// onLeft gives the slot of a session back after its OnClose, and has it filled
// again unless the user says otherwise.
func (p *pool) onLeft(c *core, cause error) {
	if p.wasRetired(c) {
		return
	}
	again := true
	// Deferred, since Reconnect may call runtime.Goexit.
	defer func() { p.release(c, cause, again) }()
	again = p.again(c, cause)
}

func (p *pool) wasRetired(c *core) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slots[c] == nil
}

func (p *pool) release(c *core, cause error, again bool) {
	p.mu.Lock()
	s := p.slots[c]
	delete(p.slots, c)
	p.used--
	if again {
		p.lost++
	} else {
		p.retired++
	}
	if errors.Is(cause, ErrRestart) {
		p.spread()
	}
	why := p.ended(s, cause)
	p.kick()
	p.notify()
	p.mu.Unlock()
	p.report(why)
}

// open counts the sessions in rotation that are not closing. It is called with mu held.
func (p *pool) open() (n int) {
	for _, c := range p.live {
		if c.is(stateOpen) {
			n++
		}
	}
	return n
}

// pick returns the next open session in turn, or nil. It is called with mu held.
func (p *pool) pick() *core {
	if c := p.inTurn(p.live); c != nil {
		return c
	}
	return p.inTurn(p.retiree)
}

func (p *pool) inTurn(list []*core) *core {
	for range list {
		p.next++
		if p.next >= len(list) {
			p.next = 0
		}
		if c := list[p.next]; c.is(stateOpen) {
			return c
		}
	}
	return nil
}

// wait repeats try, with mu held, after every change until it is done.
func (p *pool) wait(ctx context.Context, try func() (done bool, err error)) error {
	for {
		p.mu.Lock()
		done, err := try()
		if done || err != nil {
			p.mu.Unlock()
			return err
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed, last := p.changed, p.rec.lastErr
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return waitError(ctx, last)
		}
	}
}

// waitError is the context's error with the reason why it took so long.
func waitError(ctx context.Context, last error) error {
	if last == nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w; last failure: %w", context.Cause(ctx), last)
}

// session waits for an open session.
func (p *pool) session(ctx context.Context) (c *core, err error) {
	err = p.wait(ctx, func() (bool, error) {
		if c = p.pick(); c != nil {
			return true, nil
		}
		if err := p.refusal(); err != nil {
			return false, err
		}
		if p.retired == p.cfg.PoolSize {
			return false, p.declined()
		}
		p.kick()
		return false, nil
	})
	return c, err
}

// fill waits until every slot has a session in rotation.
func (p *pool) fill(ctx context.Context) error {
	p.mu.Lock()
	p.retired = 0
	if p.rec.gaveUp != nil {
		p.rec.reset()
	}
	p.mu.Unlock()
	return p.wait(ctx, func() (bool, error) {
		if err := p.refusal(); err != nil {
			return false, err
		}
		p.kick()
		if p.open() < p.cfg.PoolSize-p.retired {
			return false, nil
		}
		return true, p.declined()
	})
}

// declined is the error of filling a pool while Reconnect declines slots. It is
// called with mu held.
func (p *pool) declined() error {
	if p.retired == 0 {
		return nil
	}
	return fmt.Errorf("getty: Reconnect declined %d of %d slots: %w",
		p.retired, p.cfg.PoolSize, cmp.Or(p.rec.lastErr, ErrClosed))
}

// refusal is why no session will come. It is called with mu held.
func (p *pool) refusal() error {
	switch {
	case p.ctx.Err() != nil:
		return ErrClosed
	case p.rec.gaveUp != nil:
		return p.rec.gaveUp
	}
	return nil
}

// close ends the attempts and the waiting. Sessions are the endpoint's.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel(ErrShutdown) // the cause of sessions that are being opened, too
	p.notify()
}
