// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"iter"
)

// Client holds a pool of sessions to one service. A session that ends is
// replaced, lazily: nothing runs while the pool is full. Its methods may be
// called from any goroutine, also inside callbacks.
type Client[M any] struct {
	// Configure, if set before the first use, is called for each new session
	// like Server.Configure. An error fails that attempt to connect.
	Configure func(s *Session[M], setup *Setup[M]) error

	// Reconnect, if set before the first use, is asked after the OnClose of a
	// session whether to replace it. nil: always. It may stop on io.EOF, or go
	// by a Value of the session. Connect fills declined slots again.
	Reconnect func(s *Session[M], cause error) bool

	cfg    ClientConfig
	ep     endpoint
	pool   pool
	dialer *dialer
	codec  Codec[M]
	events EventListener[M]
}

// ClientState is a snapshot of a pool.
type ClientState struct {
	// Size is the configured number of sessions, Live how many are open,
	// Dialing how many attempts are under way, Retired how many slots
	// Reconnect declined to fill.
	Size, Live, Dialing, Retired int
	// Failures is the number of consecutive failures.
	Failures int
	// LastError is the last failed attempt or cause of a lost session.
	LastError error
	// GaveUp is set after MaxFailures until Connect is called.
	GaveUp bool
}

// NewClient makes a client of the service at url: tcp://host:port,
// tls://host:port, unix:///path, udp://host:port, ws://host:port/path,
// wss://host:port/path. It does not connect yet. The error is a *ConfigError, or
// the codec's.
func NewClient[M any](url string, codec Codec[M], events EventListener[M], cfg ClientConfig) (*Client[M], error) {
	c := &Client[M]{codec: codec, events: events, cfg: cfg}
	if err := checkParts(codec, events); err != nil {
		return nil, err
	}
	if err := c.cfg.complete(); err != nil {
		return nil, err
	}
	if err := c.ep.init(cfg.Config, "ClientConfig"); err != nil {
		return nil, err
	}
	d, err := newDialer(&c.ep, url, cfg.Dial)
	if err != nil {
		return nil, err
	}
	d.timeout = c.cfg.DialTimeout
	c.dialer = d
	c.pool.init(&c.ep, &c.cfg)
	c.pool.connect, c.pool.again = c.open, c.again
	return c, nil
}

func (c *Client[M]) open(ctx context.Context, made func(*core)) error {
	_, err := open(ctx, c.dialer, func(cn conn) *Session[M] {
		s := newSession(&c.ep, c.dialer.target.kind, cn, c.codec, c.events)
		s.hook = c.Configure
		made(&s.core)
		return s
	})
	return err
}

// again asks Reconnect; a panic in it counts as yes.
func (c *Client[M]) again(cr *core, cause error) bool {
	yes := true
	if c.Reconnect != nil {
		c.ep.hook("Reconnect", func() { yes = c.Reconnect(cr.top.(*Session[M]), cause) })
	}
	return yes
}

// Connect fills the pool: it returns when every slot has a session that has
// passed OnOpen, with the error of ctx, with ErrGaveUp after MaxFailures, or
// with the last failure when Reconnect declines a slot meanwhile. It also starts
// anew after giving up, and for slots that Reconnect declined before.
func (c *Client[M]) Connect(ctx context.Context) error { return c.pool.fill(ctx) }

// Session returns an open session of the pool, each in turn. If there is none
// it waits for one until ctx ends, and has the pool filled. It fails with
// ErrGaveUp after giving up, with ErrClosed after Close, and with the last
// failure while Reconnect has declined every slot: Connect starts anew.
func (c *Client[M]) Session(ctx context.Context) (*Session[M], error) {
	cr, err := c.pool.session(ctx)
	if err != nil {
		return nil, err
	}
	return cr.top.(*Session[M]), nil
}

// Send sends msg over a session of the pool. A session that closes meanwhile is
// replaced by the next one as long as no byte of msg has left.
func (c *Client[M]) Send(ctx context.Context, msg M) error {
	for {
		s, err := c.Session(ctx)
		if err != nil {
			return sendError(err)
		}
		err = s.SendContext(ctx, msg)
		if !SafeToRetry(err) || s.is(stateOpen) {
			return err
		}
	}
}

// Retire replaces a session that its server is going to close, as a listener
// learns from a message of its protocol. Another one is dialed within
// ClientConfig.Spread. Until then the client goes on using s if it has no other;
// s itself stays open until either side closes it, and is not replaced again. It
// reports whether s was one of the pool: one that has ended is not.
func (c *Client[M]) Retire(s *Session[M]) bool { return c.pool.retire(&s.core) }

// Sessions iterates over the open sessions of the pool, in no order.
func (c *Client[M]) Sessions() iter.Seq[*Session[M]] { return sessionsOf[M](&c.ep) }

// State returns a snapshot of the pool.
func (c *Client[M]) State() ClientState {
	p := &c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgive()
	return ClientState{
		Size: c.cfg.PoolSize, Live: p.open(), Dialing: p.rec.dialing, Retired: p.retired,
		Failures: p.rec.failures, LastError: p.rec.lastErr, GaveUp: p.rec.gaveUp != nil,
	}
}

// Stats returns a snapshot of the client's counters.
func (c *Client[M]) Stats() Stats {
	st := c.ep.stats()
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	st.Dials, st.DialFailures, st.Reconnects = c.pool.rec.dials, c.pool.rec.dialErrors, c.pool.rec.reconnects
	return st
}

// Shutdown stops dialing, closes every session like Session.Close with the
// cause ErrShutdown and waits for all callbacks and goroutines, like
// Server.Shutdown.
func (c *Client[M]) Shutdown(ctx context.Context) error {
	c.stop()
	return c.ep.shutdown(ctx)
}

// Close stops dialing and cuts every session with the cause ErrShutdown,
// without flushing. It does not wait; Shutdown after it does.
func (c *Client[M]) Close() error {
	c.stop()
	c.ep.cutAll()
	return nil
}

func (c *Client[M]) stop() {
	c.pool.close() // first: an attempt that is refused has not failed
	c.ep.refuse()
}
