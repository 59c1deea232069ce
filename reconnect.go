// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/getty-net/getty/internal/backoff"
)

// reconnecter is the part of a pool that counts failures and decides when to
// try again. It is guarded by the pool's mu.
type reconnecter struct {
	working    bool            // the worker runs
	event      chan struct{}   // wakes the worker
	dialing    int             // attempts whose session is not in rotation yet
	round      int             // counts parallel attempts
	counted    int             // the last round that does not count as a failure any more
	failures   int             // consecutive failed rounds
	failedAt   time.Duration   // of the last failure, on the endpoint's clock
	held       []time.Duration // when free slots may be dialed whose server restarts; sorted
	lastErr    error
	gaveUp     error
	dials      int64
	dialErrors int64
	reconnects int64
}

func (r *reconnecter) reset() { r.failures, r.gaveUp = 0, nil }

// kick starts the worker if a slot is free, or wakes it. It is called with mu held.
func (p *pool) kick() {
	if p.missing() <= 0 || p.refusal() != nil {
		return
	}
	if p.rec.working {
		p.wakeWorker()
		return
	}
	p.rec.working = true
	p.ep.g.spawn(p.work)
}

func (p *pool) wakeWorker() {
	select {
	case p.rec.event <- struct{}{}:
	default:
	}
}

// work is the client's one reconnect worker. It runs while slots are free or
// attempts are under way, and dials for all free slots in parallel.
func (p *pool) work() {
	exited := true
	defer func() {
		if exited { // a hook called runtime.Goexit
			p.ep.g.spawn(p.work)
		}
	}()
	for p.workOnce() {
	}
	exited = false
}

// workOnce waits for something to do, or for the pause before it, and does it.
// It reports false when the worker is not needed any more.
func (p *pool) workOnce() bool {
	p.mu.Lock()
	if p.refusal() != nil || (p.missing() <= 0 && p.rec.dialing == 0) {
		p.rec.working = false
		p.mu.Unlock()
		return false
	}
	p.forgive()
	n, next := p.due()
	pause := backoff.Delay(p.rec.failures, p.cfg.Backoff.Min, p.cfg.Backoff.Max)
	p.mu.Unlock()
	switch {
	case n <= 0:
		p.await(next)
	case p.sleep(pause):
		p.dialRound()
	}
	return true
}

// await waits for a change, and no longer than until the moment next, unless
// that is 0.
func (p *pool) await(next time.Duration) {
	var passed <-chan time.Time
	if next > 0 {
		t := time.NewTimer(next - p.ep.now())
		defer t.Stop()
		passed = t.C
	}
	select {
	case <-passed:
	case <-p.rec.event:
	case <-p.ctx.Done():
	}
}

// due is how many free slots may be dialed now, and when the next one may be; 0
// if none is held back. It is called with mu held.
func (p *pool) due() (n int, next time.Duration) {
	i, _ := slices.BinarySearch(p.rec.held, p.ep.now()+1)
	p.rec.held = p.rec.held[i:]
	if len(p.rec.held) == 0 {
		p.rec.held = nil
		return p.missing(), 0
	}
	return p.missing() - len(p.rec.held), p.rec.held[0]
}

// spread has each free slot wait for a part of Spread of its own, beginning
// now. It is called with mu held.
func (p *pool) spread() {
	for len(p.rec.held) < p.missing() {
		at := p.ep.now() + rand.N(p.cfg.Spread) //nolint:gosec // it is to be even, not secret
		i, _ := slices.BinarySearch(p.rec.held, at)
		p.rec.held = slices.Insert(p.rec.held, i, at)
	}
}

func (p *pool) sleep(d time.Duration) bool {
	if d <= 0 {
		return p.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// dialRound starts an attempt for every free slot that is not held back: the
// server may have said during the pause that it restarts.
func (p *pool) dialRound() {
	p.mu.Lock()
	n, _ := p.due()
	n = max(n, 0)
	if p.refusal() != nil {
		n = 0
	}
	p.used += n
	p.rec.dialing += n
	p.rec.dials += int64(n)
	p.rec.round++
	round, failures, err, lost := p.rec.round, p.rec.failures, p.rec.lastErr, p.lost
	p.mu.Unlock()
	// Deferred, since the hook may call runtime.Goexit.
	defer func() {
		for range n {
			p.ep.g.spawn(func() { p.attempt(round) })
		}
	}()
	if hook := p.cfg.OnReconnect; hook != nil && n > 0 && (failures > 0 || lost > 0) {
		p.ep.hook("OnReconnect", func() { hook(failures, err) })
	}
}

// attempt opens one session in the slot that dialRound took for it. If the
// session got as far as OnOpen, the slot is its own until onLeft; otherwise it
// is given back here.
func (p *pool) attempt(round int) {
	var made *core
	s := &slot{round: round}
	err := ErrGoexit // unless the Dial hook lets connect return
	defer func() { p.attempted(s, made, err) }()
	err = p.connect(p.ctx, func(c *core) {
		made = c
		p.mu.Lock()
		p.slots[c] = s
		p.mu.Unlock()
	})
}

// dialed ends the counting of an attempt. It is called with mu held: at its end,
// or by its session, which may be listed later.
func (p *pool) dialed(s *slot) {
	if !s.dialed {
		s.dialed = true
		p.rec.dialing--
	}
}

// attempted accounts for an attempt that has ended, with err or a session.
func (p *pool) attempted(s *slot, made *core, err error) {
	p.mu.Lock()
	p.dialed(s)
	var why setback
	if err != nil {
		p.rec.dialErrors++
		why = p.failed(s.round, err)
	}
	if err != nil && !made.wasOpen() {
		delete(p.slots, made)
		p.used--
	}
	p.wakeWorker()
	p.notify()
	p.mu.Unlock()
	p.report(why)
}

// wasOpen reports whether OnClose is owed to the session.
func (c *core) wasOpen() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// ended counts the end of a session as a failure unless it was stable. It is
// called with mu held.
func (p *pool) ended(s *slot, cause error) setback {
	if p.stable(s) {
		p.rec.failures = 0
		p.rec.lastErr = cause
		return setback{}
	}
	p.forgive()
	if cause == nil {
		cause = ErrClosed
	}
	return p.failed(s.round, cause)
}

// stable reports whether a session has been open for the stable period, all of
// it after the last failure. Older sessions say nothing about a server that
// refuses new ones.
func (p *pool) stable(s *slot) bool {
	return s.opened != 0 && s.opened >= p.rec.failedAt && p.ep.now()-s.opened >= p.cfg.StablePeriod
}

// forgive resets the count of failures if a living session is stable. It is
// asked for when the count is about to matter: nothing watches a full pool.
func (p *pool) forgive() {
	if p.rec.failures == 0 {
		return
	}
	for _, c := range p.live {
		if p.stable(p.slots[c]) {
			p.rec.failures = 0
			return
		}
	}
}

// setback is a failure that was counted, to be told when mu is not held: a log
// handler may ask the client, or send over it.
type setback struct {
	failures int // 0: none
	err      error
	gaveUp   error // nil: it has not come to that
}

// failed counts a failure, once for each round and for those that had begun by
// then: with Spread each slot may be a round of its own. It is called with mu
// held.
func (p *pool) failed(round int, err error) setback {
	p.rec.lastErr = err
	if p.ctx.Err() != nil || round <= p.rec.counted {
		return setback{}
	}
	p.rec.counted = p.rec.round
	p.rec.failures++
	p.rec.failedAt = p.ep.now()
	why := setback{failures: p.rec.failures, err: err}
	if limit := p.cfg.MaxFailures; limit > 0 && p.rec.failures >= limit && p.rec.gaveUp == nil {
		why.gaveUp = fmt.Errorf("%w: %d consecutive failures: %w", ErrGaveUp, p.rec.failures, err)
		p.rec.gaveUp = why.gaveUp
	}
	return why
}

func (p *pool) report(why setback) {
	if why.failures > 0 {
		p.ep.log.Warn("getty: connecting failed", "failures", why.failures, "error", why.err)
	}
	if why.gaveUp == nil {
		return
	}
	p.ep.log.Error("getty: giving up", "error", why.gaveUp)
	if hook := p.cfg.OnGiveUp; hook != nil {
		p.ep.hook("OnGiveUp", func() { hook(why.gaveUp) })
	}
}
