// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// endpoint is what a Server, a Client and Dial have in common: the frozen
// configuration, the sessions, and the count of what runs for them.
type endpoint struct {
	cfg     Config
	lim     *limits
	start   time.Time
	exec    Executor
	pool    *workerPool // exec, if it is ours to stop
	log     *slog.Logger
	format  *format // of compression; nil: none
	g       group   // sessions, accept loops, drainers, the reconnect worker
	flusher flusher

	// The client's pool listens here; nil for others. onLeave comes before
	// OnClose, onLeft after it.
	onListed, onLeave func(c *core)
	onLeft            func(c *core, cause error)

	udp udpShared

	quit         chan struct{} // closed when the endpoint begins to close
	stopOnce     sync.Once
	ids          atomic.Uint64
	opened       atomic.Int64
	acceptErrors atomic.Int64
	farewells    atomic.Int64 // that run

	mu        sync.Mutex
	sessions  map[*core]bool // true: listed
	prefacing map[*core]*prefacing
	admitted  admission
	closing   bool
	totals    Stats
	causes    map[string]int64
	refusals  map[string]int64
	own       map[Compression]*format // of sessions with a compression of their own
}

// init completes and checks the configuration.
func (ep *endpoint) init(cfg Config, prefix string) error {
	if err := cfg.complete(prefix); err != nil {
		return err
	}
	// A moment ago, since 0 on the endpoint's clock stands for never.
	ep.cfg, ep.lim, ep.start = cfg, cfg.limits(), time.Now().Add(-time.Nanosecond)
	ep.exec, ep.log = cfg.Executor, slog.New(slog.DiscardHandler)
	ep.udp.init(&ep.cfg, ep.lim)
	if cfg.Logger != nil {
		ep.log = slog.New(calm{cfg.Logger.Handler()})
	}
	if cfg.Workers > 0 {
		ep.pool = newWorkerPool(cfg.Workers)
		ep.exec = ep.pool
	}
	ep.admitted.init(&ep.cfg)
	ep.format = newFormat(cfg.Compression, cfg.Limits.MaxExpansion)
	ep.flusher.g = &ep.g
	ep.quit = make(chan struct{})
	ep.sessions = make(map[*core]bool)
	ep.prefacing = make(map[*core]*prefacing)
	ep.causes = make(map[string]int64)
	ep.refusals = make(map[string]int64)
	return nil
}

// formatOf is the format of a session with a compression of its own.
func (ep *endpoint) formatOf(how Compression) *format {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.own[how] == nil {
		if ep.own == nil {
			ep.own = make(map[Compression]*format)
		}
		ep.own[how] = newFormat(how, ep.cfg.Limits.MaxExpansion)
	}
	return ep.own[how]
}

// now is the time since the endpoint was made; it never is 0 in a session.
func (ep *endpoint) now() time.Duration { return time.Since(ep.start) }

// enter admits a new session or says why not. The caller goes on with start.
func (ep *endpoint) enter(c *core) error {
	var addr netip.Addr
	if ep.admitted.looks() {
		addr = addrOf(c.remoteAddr())
		if !addr.IsValid() { // a preface that told of none lets nobody past
			addr = addrOf(remoteOf(c.netConn()))
		}
	}
	ep.mu.Lock()
	defer ep.mu.Unlock()
	delete(ep.prefacing, c)
	if ep.closing {
		return ErrShutdown
	}
	if err := ep.admitted.admit(addr, ep.places(), ep.now()); err != nil {
		ep.totals.Rejected++
		return err
	}
	if ep.admitted.counts() && addr.IsValid() {
		c.needOrigin().counted = addr
	}
	c.id = ep.ids.Add(1)
	ep.sessions[c] = false
	ep.g.add()
	return nil
}

// refuses is enter for somebody of whom nothing was made yet, without letting
// them in. A refusal is counted.
func (ep *endpoint) refuses(addr netip.Addr) error {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	_, err := ep.admitted.decide(addr, ep.places(), ep.now())
	if err != nil {
		ep.totals.Rejected++
		ep.refusals[CauseKind(err)]++
	}
	return err
}

// remove is called with mu held.
func (ep *endpoint) remove(c *core) {
	delete(ep.sessions, c)
	ep.stopWorkers()
	if _, ok := c.conn.(*udpPeer); ok {
		ep.udp.leave()
	}
	if c.origin != nil && c.origin.counted.IsValid() {
		ep.admitted.leave(c.origin.counted, ep.now())
	}
}

// abandoned forgets a session that never opened.
func (ep *endpoint) abandoned(c *core, err error) {
	ep.mu.Lock()
	ep.remove(c)
	ep.totals.Failed++
	ep.mu.Unlock()
	defer ep.g.done() // a hook may call runtime.Goexit
	ep.failed(c.kind, c.remoteAddr(), err)
}

// lost is failed for what has not entered, and was not refused.
func (ep *endpoint) lost(kind string, remote net.Addr, err error) {
	ep.mu.Lock()
	ep.totals.Failed++
	ep.mu.Unlock()
	ep.failed(kind, remote, err)
}

// failed reports a connection that did not become a session.
func (ep *endpoint) failed(kind string, remote net.Addr, err error) {
	err = harmless(err)
	why := CauseKind(err)
	ep.mu.Lock()
	ep.refusals[why]++
	ep.mu.Unlock()
	ep.tellFailed(kind, remote, err)
}

func (ep *endpoint) tellFailed(kind string, remote net.Addr, err error) {
	ep.log.Debug("getty: connection failed", "transport", kind, "remote", remote, "error", err)
	if o := ep.cfg.Observer; o != nil {
		ep.hook("ConnFailed", func() { o.ConnFailed(kind, remote, err) })
	}
}

// listed makes an opened session visible.
func (ep *endpoint) listed(c *core) {
	ep.mu.Lock()
	ep.sessions[c] = true
	ep.mu.Unlock()
	if ep.onListed != nil {
		ep.onListed(c)
	}
	if o := ep.cfg.Observer; o != nil {
		ep.hook("SessionOpened", func() { o.SessionOpened(c.info()) })
	}
}

// leaving hides a session that has ended, before its OnClose.
func (ep *endpoint) leaving(c *core) {
	ep.mu.Lock()
	ep.sessions[c] = false
	ep.mu.Unlock()
	if ep.onLeave != nil {
		ep.onLeave(c)
	}
}

// left forgets a session after its OnClose.
func (ep *endpoint) left(c *core, cause error) {
	defer ep.g.done() // a hook may call runtime.Goexit
	ep.count(c, CauseKind(cause))
	defer func() {
		if ep.onLeft != nil {
			ep.onLeft(c, cause)
		}
	}()
	ep.tellClosed(c, cause)
}

func (ep *endpoint) tellClosed(c *core, cause error) {
	if o := ep.cfg.Observer; o != nil {
		ep.hook("SessionClosed", func() { o.SessionClosed(c.info(), c.stats(), cause) })
	}
}

func (ep *endpoint) count(c *core, why string) {
	st := c.stats()
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.remove(c)
	ep.totals.add(st)
	ep.totals.Closed++
	ep.causes[why]++
}

// hook runs a callback that ends no session. A panic in it is logged.
func (ep *endpoint) hook(name string, call func()) {
	defer func() {
		if r := recover(); r != nil {
			ep.log.Error("getty: hook panicked", "hook", name, "panic", r, "stack", string(debug.Stack()))
		}
	}()
	call()
}

// logClose reports a panic in OnClose, which can be no cause any more.
func (ep *endpoint) logClose(c *core, err error) {
	ep.log.Error("getty: OnClose failed", "session", c.id, "error", err)
}

// snapshot returns the sessions, all or only the listed ones.
func (ep *endpoint) snapshot(all bool) []*core {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	cs := make([]*core, 0, len(ep.sessions))
	for c, listed := range ep.sessions {
		if all || listed {
			cs = append(cs, c)
		}
	}
	return cs
}

// stop ends accept loops and pauses.
func (ep *endpoint) stop() { ep.stopOnce.Do(func() { close(ep.quit) }) }

// refuse lets nothing new in.
func (ep *endpoint) refuse() {
	ep.stop()
	ep.mu.Lock()
	ep.closing = true
	ep.stopWorkers()
	ep.mu.Unlock()
	ep.endPrefaces()
}

// stopWorkers is called with mu held when the endpoint begins to close and when
// a session has gone: workers are needed as long as there is one.
func (ep *endpoint) stopWorkers() {
	if ep.closing && ep.pool != nil && len(ep.sessions) == 0 {
		ep.pool.stop()
	}
}

// info describes the session to an Observer.
func (c *core) info() SessionInfo {
	return SessionInfo{
		ID: c.id, Transport: c.kind, Local: c.localAddr(), Remote: c.remoteAddr(),
		Opened: c.ep.start.Add(c.born),
	}
}
