// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	engine "github.com/getty-net/getty"

	"github.com/apache/dubbo-getty/dropin"
)

const (
	// defaultInterval is the first pause between attempts to connect.
	defaultInterval = 300 * time.Millisecond
	dialTimeout     = 3 * time.Second

	// The attributes that sessions of clients come with.
	ownerKey  = "session-client-owner"
	ignoreKey = "ignore-reconnect"
)

var lastClient atomic.Int32

type client struct {
	endpoint
	opts ClientOptions

	mu      sync.Mutex
	engine  *engine.Client[any]
	running int   // calls of RunEventLoop
	wrong   error // a fault of NewSessionCallback, for RunEventLoop to panic with
	replace replacer
	lead    lead
}

func newClient(kind EndPointType, opts []ClientOption) *client {
	c := &client{endpoint: endpoint{id: lastClient.Add(1), kind: kind}}
	for _, o := range opts {
		o(&c.opts)
	}
	if c.opts.number < 1 || c.opts.addr == "" {
		panic(fmt.Sprintf("getty: %s needs a connection number and a server address; it has %d and %q",
			kind, c.opts.number, c.opts.addr))
	}
	c.self, c.pool, c.name, c.watch = c, c.opts.pool, sessionName(kind), c
	c.replace.size = c.opts.number
	c.lead.over = make(chan struct{})
	return c
}

// NewTCPClient makes a client over TCP, or TLS if that is enabled. Like all
// clients it panics without WithConnectionNumber and WithServerAddress.
func NewTCPClient(opts ...ClientOption) Client { return newClient(TCP_CLIENT, opts) }

// NewUDPClient makes a client over connected sockets of UDP.
func NewUDPClient(opts ...ClientOption) Client { return newClient(UDP_CLIENT, opts) }

// NewWSClient makes a client over WebSocket. It panics unless the address begins
// with ws://.
func NewWSClient(opts ...ClientOption) Client {
	c := newClient(WS_CLIENT, opts)
	c.wantScheme("ws://")
	return c
}

// NewWSSClient makes a client over WebSocket over TLS. It panics unless the
// address begins with wss:// and there is a WithRootCertificateFile.
func NewWSSClient(opts ...ClientOption) Client {
	c := newClient(WSS_CLIENT, opts)
	if c.opts.cert == "" {
		panic("getty: NewWSSClient needs a file of root certificates")
	}
	c.wantScheme("wss://")
	return c
}

func (c *client) wantScheme(scheme string) {
	if !strings.HasPrefix(c.opts.addr, scheme) {
		panic(fmt.Sprintf("getty: %s: the address is %q, want %s", c.kind, c.opts.addr, scheme))
	}
}

func (c *client) RunEventLoop(newSession NewSessionCallback) {
	if c.IsClosed() {
		return
	}
	c.setUp.Store(&newSession)
	e, err := c.start()
	if err != nil {
		panic(fmt.Errorf("getty: %s of %q: %w", c.kind, c.opts.addr, err))
	}
	c.mu.Lock()
	c.running++
	c.mu.Unlock()
	c.replace.begin(dropin.ReconnectOnEOF())
	// An error means that the client was closed, or that the limit of attempts
	// was reached and the pool is smaller.
	_ = e.Connect(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if c.wrong != nil {
		panic(c.wrong)
	}
}

// start makes the engine's client once.
func (c *client) start() (*engine.Client[any], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.engine != nil {
		return c.engine, nil
	}
	url, secure, err := c.target()
	if err != nil {
		return nil, err
	}
	interval := max(cmp.Or(time.Duration(c.opts.interval), defaultInterval), time.Millisecond)
	cfg := engine.ClientConfig{
		Config: c.config(), PoolSize: c.opts.number, DialTimeout: dialTimeout,
		Backoff: engine.Backoff{Min: interval, Max: 10 * interval},
	}
	cfg.TLS = secure
	e, err := engine.NewClient[any](url, unset{}, engine.NopEvents[any]{}, cfg)
	if err != nil {
		return nil, err
	}
	e.Configure = c.adopt
	e.Reconnect = func(s *engine.Session[any], _ error) bool { return c.replace.verdict(s.ID()) && !c.IsClosed() }
	c.engine = e
	return e, nil
}

// target is the engine's URL.
func (c *client) target() (url string, cfg *tls.Config, err error) {
	switch {
	case c.kind == WSS_CLIENT:
		cfg, err = c.opts.secureClient()
		return c.opts.addr, cfg, err
	case c.kind == WS_CLIENT:
		return c.opts.addr, nil, nil
	case c.kind == UDP_CLIENT:
		return "udp://" + c.opts.addr, nil, nil
	case c.opts.ssl:
		cfg, err = buildTLS(c.opts.tls)
		return "tls://" + c.opts.addr, cfg, err
	}
	return "tcp://" + c.opts.addr, nil, nil
}

func (c *client) Close() {
	if c.done.Swap(true) {
		return
	}
	c.mu.Lock()
	e := c.engine
	c.mu.Unlock()
	if e != nil {
		closeAll(e.Sessions(), e)
	}
}

func (c *client) created(s *session) {
	s.SetAttribute(ownerKey, c)
	s.SetAttribute(ignoreKey, false)
}

func (c *client) admit(ended <-chan struct{}) { c.lead.admit(ended) }
func (c *client) refused()                    { c.lead.end() }

func (c *client) opened(s *session) {
	s.live = true
	c.lead.opened()
	c.replace.opened()
}

// closed decides, before OnClose takes the attributes away, whether the session
// is to be replaced.
func (c *client) closed(s *session, id uint64, cause error) {
	c.lead.end()
	eof := c.isEOF(cause)
	ignore, ok := s.GetAttribute(ignoreKey).(bool)
	_, owned := s.GetAttribute(ownerKey).(*client)
	ignore = ignore || !ok || !owned // who removes one of them wants no replacement
	if c.replace.closed(id, s.live, ignore, eof) && eof {
		s.SetAttribute(ignoreKey, true)
	}
}

// misconfigured ends a client whose NewSessionCallback panics, or leaves out what
// every session needs, and has RunEventLoop panic with the reason. After
// RunEventLoop has returned nobody can be told: then the attempt alone fails.
func (c *client) misconfigured(err error) (told bool) {
	c.mu.Lock()
	e := c.engine
	if told = c.running > 0; told {
		c.wrong = err
	}
	c.mu.Unlock()
	if told {
		c.done.Store(true)
		_ = e.Close()
	}
	return told
}
