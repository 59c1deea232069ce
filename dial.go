// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// dialFunc is the signature of ClientConfig.Dial.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialer connects to one target, again and again.
type dialer struct {
	ep     *endpoint
	target target
	tls    *tls.Config // nil unless the target wants TLS
	dial   dialFunc

	timeout time.Duration // of connecting; 0: only the caller's context
}

func newDialer(ep *endpoint, raw string, hook dialFunc) (*dialer, error) {
	if field := ep.cfg.forServers(); field != "" {
		return nil, &ConfigError{Field: "Config." + field, Problem: "is set, want none: it is for servers"}
	}
	if hook != nil && ep.cfg.UserTimeout > 0 {
		return nil, &ConfigError{Field: "Config.UserTimeout", Problem: "is set together with Dial, which makes the sockets itself, want one of them"}
	}
	t, err := parseURL(raw)
	if err == nil {
		err = ep.cfg.Compression.check(t.kind)
	}
	if err != nil {
		return nil, err
	}
	d := &dialer{ep: ep, target: t, dial: hook}
	if d.dial == nil {
		d.dial = (&net.Dialer{Control: ep.cfg.control}).DialContext
	}
	if t.secure() {
		d.tls = clientTLS(t.tlsConfig(ep.cfg.TLS), t.host)
	}
	return d, nil
}

// clientTLS verifies against host unless the configuration says otherwise.
func clientTLS(cfg *tls.Config, host string) *tls.Config {
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	return cfg
}

// connect opens the socket.
func (d *dialer) connect(ctx context.Context) (net.Conn, error) {
	if d.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.timeout)
		defer cancel()
	}
	nc, err := d.call(ctx)
	if err != nil {
		return nil, fmt.Errorf("getty: dial: %w", err)
	}
	if selfConnected(nc) {
		_ = nc.Close()
		return nil, fmt.Errorf("getty: dial %s: %w", d.target.address, ErrSelfConnect)
	}
	return nc, nil
}

// call runs the hook, or net.Dialer with Control. A panic there is its error.
func (d *dialer) call(ctx context.Context) (nc net.Conn, err error) {
	defer func() {
		if err != nil && nc != nil {
			_ = shut(nc)
			nc = nil
		}
	}()
	defer foreign(&err)
	proxy, err := d.proxyFor()
	if err != nil {
		return nil, err
	}
	address := d.target.address
	if proxy != nil {
		address = proxy.Host
	}
	nc, err = d.dial(ctx, d.target.network, address)
	switch {
	case err == nil && nc == nil:
		err = errors.New("the Dial hook returned neither a conn nor an error")
	case err == nil && proxy != nil:
		err = d.tunnel(ctx, nc, proxy)
	}
	return nc, err
}

// newConn is the conn of a dialed session.
func newConn(ep *endpoint, t target, nc net.Conn) conn {
	if t.network == "udp" {
		return newUDPClient(ep, nc)
	}
	return newStreamConn(nc)
}

// selfConnected detects a socket connected to itself, as by TCP's simultaneous
// open: dialing a dead port of the ephemeral range may pick that very port as
// the source.
func selfConnected(nc net.Conn) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UDPConn:
		remote := nc.RemoteAddr() // nil: it is gone
		return remote != nil && nc.LocalAddr().String() == remote.String()
	}
	return false
}

// open connects and starts a session, and returns when its OnOpen has
// succeeded or the attempt has failed. The end of ctx fails the attempt.
func open[M any](ctx context.Context, d *dialer, build func(cn conn) *Session[M]) (*Session[M], error) {
	nc, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	s := build(newConn(d.ep, d.target, nc))
	s.frameFor(&d.target, true)
	if err := d.ep.enter(&s.core); err != nil {
		_ = shut(nc)
		return nil, err
	}
	result := ErrGoexit
	started := d.start(&s.core, &result)
	select {
	case <-started:
	case <-ctx.Done():
		// OnOpen may be running: it ends with the session, not with this call.
		s.cut(context.Cause(ctx))
		return nil, context.Cause(ctx)
	}
	if result != nil {
		return nil, result
	}
	return s, nil
}

// start runs the session's start on a throw-away goroutine, which a callback
// may end by Goexit. *result is set before the returned channel is closed.
func (d *dialer) start(c *core, result *error) <-chan struct{} {
	started := make(chan struct{})
	go func() {
		defer close(started)
		*result = c.start(d.tls, true)
	}()
	return started
}

// Dial opens a single session to url without a pool and returns when its
// OnOpen has succeeded. ctx bounds the opening only. The session does not
// reconnect. The error is a *ConfigError, or that of connecting, of the
// handshake or of OnOpen.
func Dial[M any](ctx context.Context, url string, codec Codec[M], events EventListener[M], cfg Config) (*Session[M], error) {
	if err := checkParts(codec, events); err != nil {
		return nil, err
	}
	ep := new(endpoint)
	if err := ep.init(cfg, "Config"); err != nil {
		return nil, err
	}
	d, err := newDialer(ep, url, nil)
	if err != nil {
		return nil, err
	}
	// Nothing but this session ever enters: workers end with it.
	defer ep.refuse()
	return open(ctx, d, func(cn conn) *Session[M] {
		return newSession(ep, d.target.kind, cn, codec, events)
	})
}
