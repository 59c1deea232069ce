// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Ready reports whether the server wants new connections: true until Shutdown or
// Close begins. It is for the readiness probe of a load balancer.
func (s *Server[M]) Ready() bool { return !s.leaving.Load() }

// Shutdown ends the server in an order that lets its peers go elsewhere. Ready
// turns false; for Config.DrainDelay everything else stays as it is. Then the
// listeners are closed, and if there is a Farewell, each session is told and
// goes on for up to Config.GracePeriod. Then each is closed like by
// Session.Close with the cause ErrShutdown: what was accepted is flushed, and a
// WebSocket peer is told CloseServiceRestart. At last it waits for all
// callbacks, workers and goroutines. Of the time that a deadline of ctx leaves
// after the delay, sessions go on for half at most: the rest is for closing.
//
// After a nil error nothing of the server runs. When ctx ends first, sessions
// left are cut, and the error names the callbacks that are still running; so
// does a Shutdown from inside a callback, which waits for itself.
func (s *Server[M]) Shutdown(ctx context.Context) error {
	s.leave(ctx)
	return s.ep.shutdown(ctx)
}

// leave is what comes before the sessions are closed.
func (s *Server[M]) leave(ctx context.Context) {
	s.leaving.Store(true)
	s.delay(ctx)
	s.stopListening()
	s.bidFarewell(ctx)
	s.ep.refuse()
}

// delay waits until DrainDelay has passed since the first Shutdown.
func (s *Server[M]) delay(ctx context.Context) {
	if s.ep.cfg.DrainDelay == 0 {
		return
	}
	s.mu.Lock()
	if s.stopAt == 0 {
		s.stopAt = s.ep.now() + s.ep.cfg.DrainDelay
	}
	left := s.stopAt - s.ep.now()
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	select {
	case <-ctx.Done():
	case <-s.ep.quit:
	}
}

// Close stops listening and cuts every session with the cause ErrShutdown,
// without flushing. It does not wait for callbacks; Shutdown after it does.
func (s *Server[M]) Close() error {
	s.leaving.Store(true)
	s.stopListening()
	s.ep.refuse()
	s.ep.cutAll()
	return nil
}

func (s *Server[M]) stopListening() {
	s.ep.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		_ = shut(*l)
	}
}

// acceptedTime is how long what was accepted before the end may take to become
// a session: it has only to be asked for its address, or to send its preface.
const acceptedTime = time.Second

// bidFarewell has Farewell called for all sessions, those that are still being
// opened as well, and waits for them to end.
func (s *Server[M]) bidFarewell(ctx context.Context) {
	if s.Farewell == nil {
		return
	}
	patience := acceptedTime
	if end, ok := ctx.Deadline(); ok {
		left := time.Until(end)
		half, cancel := context.WithTimeout(ctx, left/2)
		defer cancel()
		ctx, patience = half, min(patience, left/4)
	}
	accepted, cancel := context.WithTimeout(ctx, patience)
	_ = s.accepting.wait(accepted)
	cancel()
	s.ep.endPrefaces()
	s.mu.Lock()
	if s.told == nil {
		s.told = make(map[*core]bool)
	}
	s.mu.Unlock()
	for _, c := range s.ep.snapshot(false) {
		s.tell(c)
	}
	grace, cancel := context.WithTimeout(ctx, s.ep.cfg.GracePeriod)
	defer cancel()
	_ = s.ep.g.wait(grace)
}

// onListed tells a session that has opened after Shutdown began.
func (s *Server[M]) onListed(c *core) {
	if s.leaving.Load() {
		s.tell(c)
	}
}

// tell calls Farewell for a session, once, when the time has come.
func (s *Server[M]) tell(c *core) {
	s.mu.Lock()
	again := s.told == nil || s.told[c]
	if !again {
		s.told[c] = true
	}
	s.mu.Unlock()
	if again {
		return
	}
	s.ep.g.spawn(func() {
		s.ep.farewells.Add(1)
		defer s.ep.farewells.Add(-1)
		if err := c.aside(func() { s.Farewell(c.top.(*Session[M])) }); err != nil {
			c.closeWith(err)
		}
	})
}

// shutdown drains every session, and cuts those that are left when ctx ends.
func (ep *endpoint) shutdown(ctx context.Context) error {
	ep.forEach(func(c *core) { c.closeWith(ErrShutdown) })
	err := ep.g.wait(ctx)
	if err == nil && ep.pool != nil {
		err = ep.pool.g.wait(ctx)
	}
	if err == nil {
		return nil
	}
	busy := ep.busy()
	ep.cutAll()
	return fmt.Errorf("getty: shutdown: %s: %w", busy, context.Cause(ctx))
}

func (ep *endpoint) cutAll() { ep.forEach(func(c *core) { c.cut(ErrShutdown) }) }

// forEach does something with each session that needs its lock. It does not wait
// for a codec's Append, under which that is held.
func (ep *endpoint) forEach(do func(c *core)) {
	for _, c := range ep.snapshot(true) {
		if c.mu.TryLock() {
			c.mu.Unlock()
			do(c)
		} else {
			ep.g.spawn(func() { do(c) })
		}
	}
}

// busy names the callbacks that keep a shutdown waiting, the first few.
func (ep *endpoint) busy() string {
	const most = 3
	var names []string
	cs := ep.snapshot(true)
	for _, c := range cs {
		p := phase(c.phase.Load()).String()
		if c.mu.TryLock() {
			if p == phaseNone.String() && c.timers != nil && c.timers.inCron.Load() {
				p = "OnCron"
			}
			c.mu.Unlock()
		} else {
			p = "Append"
		}
		if p != phaseNone.String() && len(names) < most {
			names = append(names, fmt.Sprintf("session %d is in %s", c.id, p))
		}
	}
	if n := ep.farewells.Load(); n > 0 {
		names = append(names, fmt.Sprintf("%d calls of Farewell run", n))
	}
	ep.mu.Lock()
	if n := len(ep.prefacing); n > 0 {
		names = append(names, fmt.Sprintf("%d connections are in Preface", n))
	}
	ep.mu.Unlock()
	return strings.Join(append(names, fmt.Sprintf("%d sessions left", len(cs))), ", ")
}
