// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"crypto/tls"
	"fmt"
	"time"
)

// start brings a session to life: handshake, Configure, OnOpen, and then the
// reader. It runs on a throw-away goroutine, so that the deep stacks of
// handshakes and OnOpen are not the reader's for good. The caller has entered
// c into its endpoint. A nil error means that OnOpen succeeded.
func (c *core) start(cfg *tls.Config, client bool) (err error) {
	configured := false
	defer func() {
		if !configured { // by Goexit
			_ = c.abandon(ErrGoexit)
		}
	}()
	if cfg != nil || c.format() != nil || c.framing != nil && c.packets == nil { // UDP has none
		// The functions in a tls.Config are callbacks like any other.
		err = c.guard(phaseNone, func() error { return c.handshake(cfg, client) })
		if err != nil {
			configured = true
			return c.abandon(fmt.Errorf("%w: %w", errHandshake, err))
		}
	}
	err = c.guard(phaseConfigure, c.top.configure)
	if err == nil && !c.opening() {
		err = c.endError()
	}
	configured = true
	if err != nil {
		return c.abandon(err)
	}
	// Deferred, since OnOpen may call runtime.Goexit: its session ends like any other.
	defer func() { go c.loop() }()
	if err = c.guard(phaseOpen, c.top.opened); err != nil {
		c.closeWith(err)
		return err
	}
	if c.framing != nil {
		c.framing.opened()
	}
	c.startTimers()
	// Asked before others can see the session: what they do to it is no failure of opening.
	if !c.is(stateOpen) {
		err = c.endError()
	}
	c.ep.listed(c)
	return err
}

// opening moves the session from new to open, unless it was closed meanwhile.
func (c *core) opening() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.is(stateNew) {
		return false
	}
	c.timers = newTimers(c)
	c.state.Store(uint32(stateOpen))
	c.seen = true
	c.born = c.ep.now()
	c.lastRead.Store(int64(c.born))
	c.ep.opened.Add(1)
	return true
}

// endError is why a session that was opening has ended.
func (c *core) endError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closedError()
}

// format is how the handshake has the conn compress; nil: not at all.
func (c *core) format() *format {
	if c.framing != nil {
		return nil
	}
	return c.ep.format
}

// handshake puts TLS, unless cfg is nil, and compression over the conn and runs
// the handshake of the transport itself, all within HandshakeTimeout.
func (c *core) handshake(cfg *tls.Config, client bool) (err error) {
	timeout := time.AfterFunc(c.ep.cfg.HandshakeTimeout, func() { c.cut(ErrHandshakeTimeout) })
	defer func() {
		if !timeout.Stop() && err == nil { // it is about to cut
			err = ErrHandshakeTimeout
		}
	}()
	err = c.cover(cfg, client)
	if err != nil || c.framing == nil {
		return err
	}
	err = c.framing.open()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && !c.is(stateNew) {
		return c.closedError() // rather than that of a conn that was closed
	}
	c.met = err == nil
	return err
}

// cover puts what layers gives in the place of the conn.
func (c *core) cover(cfg *tls.Config, client bool) error {
	cn, err := c.layers(cfg, client)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.is(stateNew):
		if err == nil {
			cn.drop()
		}
		return c.closedError()
	case err != nil:
		return err
	}
	c.conn = cn
	return nil
}

// layers runs the handshakes, the outer one first.
func (c *core) layers(cfg *tls.Config, client bool) (conn, error) {
	cn := c.conn
	if cfg != nil {
		t, err := tlsHandshake(cn, c.in.moved(), cfg, client)
		if err != nil {
			return nil, err
		}
		defer func() { t.owner = c }()
		cn = t
	}
	if f := c.format(); f != nil {
		z, err := compressHandshake(cn, c.in.moved(), f, client)
		if err != nil {
			cn.drop()
			return nil, err
		}
		z.owner = c
		cn = z
	}
	return cn, nil
}

// abandon ends a session that nobody has seen open: no OnClose follows.
func (c *core) abandon(err error) error {
	err = harmless(err)
	c.explain(err)
	c.cut(err)
	c.waitWriter()
	c.drop()
	c.ep.abandoned(c, err)
	return err
}

// explain tells the peer why, if it understands that already.
func (c *core) explain(cause error) {
	c.mu.Lock()
	if !c.met || !c.is(stateNew) {
		c.mu.Unlock()
		return
	}
	c.met = false // it is told once
	p := c.framing.farewell(nil, cause)
	c.mu.Unlock()
	timeout := time.AfterFunc(c.lim.closeTimeout, func() { c.cut(cause) })
	defer timeout.Stop()
	_ = writeAll(c.conn, p)
}
