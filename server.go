// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Server accepts sessions on any number of listeners of any transports, all
// with the same codec, listener and configuration. Its methods may be called
// from any goroutine.
type Server[M any] struct {
	// Configure, if set before the first Listen or Serve, is called for each
	// new session on a goroutine of its own, after the handshake and before
	// anything is read or OnOpen runs. Sending fails there. An error ends the
	// session without OnOpen and OnClose and is counted in Stats.Failed.
	Configure func(s *Session[M], setup *Setup[M]) error

	// Farewell, if set before the first Listen or Serve, is called by Shutdown for
	// each open session, on a goroutine of its own, to tell the peer in the words
	// of its protocol that the server goes: it may send. The session goes on
	// meanwhile, until it is closed by either side or Config.GracePeriod is over.
	Farewell func(s *Session[M])

	ep     endpoint
	codec  Codec[M]
	events EventListener[M]

	accepting group       // accept loops, and what they have accepted until it has entered
	leaving   atomic.Bool // Shutdown or Close has begun

	mu        sync.Mutex
	listeners map[*net.Listener]bool // a listener itself may be no map key
	told      map[*core]bool         // Farewell has been called; nil before Shutdown
	stopAt    time.Duration          // the end of DrainDelay; 0 before Shutdown
	addrs     []net.Addr
	urls      []string
}

// NewServer makes a server that does not listen yet. codec and events serve
// all its sessions. The error is a *ConfigError, or the codec's.
func NewServer[M any](codec Codec[M], events EventListener[M], cfg Config) (*Server[M], error) {
	s := &Server[M]{codec: codec, events: events, listeners: make(map[*net.Listener]bool)}
	if err := checkParts(codec, events); err != nil {
		return nil, err
	}
	if err := s.ep.init(cfg, "Config"); err != nil {
		return nil, err
	}
	s.ep.onListed = s.onListed
	return s, nil
}

func checkParts[M any](codec Codec[M], events EventListener[M]) error {
	if events == nil {
		return &ConfigError{Field: "events", Problem: "is nil"}
	}
	return checkCodec(codec)
}

// Listen listens on each URL and serves it in the background: tcp://host:port,
// tls://host:port, unix:///path, udp://host:port, ws://host:port/path,
// wss://host:port/path. A WebSocket URL without a path, or with "/", serves every
// path. It returns when all are listening, or none.
func (s *Server[M]) Listen(urls ...string) error {
	var opened []net.Listener
	var targets []target
	for _, raw := range urls {
		t, l, err := s.open(raw)
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
			return err
		}
		opened, targets = append(opened, l), append(targets, t)
	}
	for i, l := range opened {
		if err := s.add(&l, targets[i]); err != nil {
			for _, l := range opened[i:] {
				_ = l.Close()
			}
			return err
		}
		go func() {
			if err := s.serve(&l, targets[i]); !errors.Is(err, ErrServerClosed) {
				s.ep.log.Error("getty: listener failed", "addr", l.Addr(), "error", err)
			}
		}()
	}
	return nil
}

func (s *Server[M]) open(raw string) (target, net.Listener, error) {
	t, err := parseURL(raw)
	if err == nil {
		err = s.check(&t)
	}
	if err != nil {
		return t, nil, err
	}
	l, err := s.ep.listen(t)
	if err != nil {
		return t, nil, fmt.Errorf("getty: listen %s: %w", raw, err)
	}
	return t, l, nil
}

// check reports what of the configuration a transport cannot be served with.
func (s *Server[M]) check(t *target) error {
	if err := s.ep.cfg.Compression.check(t.kind); err != nil {
		return err
	}
	if t.secure() {
		return serverTLS(s.ep.cfg.TLS, t.kind)
	}
	return nil
}

// Serve accepts sessions from l until Close or Shutdown, and returns
// ErrServerClosed then. It closes l. A *tls.Conn that l yields is served as an
// opaque stream; see ServeTLS.
func (s *Server[M]) Serve(l net.Listener) error {
	return s.serveOwn(l, target{kind: l.Addr().Network()})
}

// ServeTLS is Serve with Config.TLS over each connection of l, by the same way
// as tls:// URLs.
func (s *Server[M]) ServeTLS(l net.Listener) error {
	return s.serveOwn(l, target{kind: "tls"})
}

// ServePacket is Serve for a packet socket, with a session per peer address. A
// *net.UDPConn is served like udp:// URLs; of any other, WriteTo must return
// soon, or when the socket is closed.
func (s *Server[M]) ServePacket(pc net.PacketConn) error {
	u := newUDPSocket(&s.ep, pc)
	return s.serveOwn(u, target{kind: u.Addr().Network()})
}

// ServeWebSocket is Serve for WebSocket handshakes on the connections of l, at
// path or, if that is "" or "/", at any. For other paths and handlers beside it
// use ServeHTTP.
func (s *Server[M]) ServeWebSocket(l net.Listener, path string) error {
	return s.serveOwn(l, target{kind: "ws", path: anyOr(path)})
}

// ServeWebSocketTLS is ServeWebSocket with Config.TLS below.
func (s *Server[M]) ServeWebSocketTLS(l net.Listener, path string) error {
	return s.serveOwn(l, target{kind: "wss", path: anyOr(path)})
}

func (s *Server[M]) serveOwn(l net.Listener, t target) error {
	if err := s.check(&t); err != nil {
		return errors.Join(err, l.Close())
	}
	if err := s.add(&l, t); err != nil {
		_ = l.Close()
		return err
	}
	return s.serve(&l, t)
}

// add enters a listener, whose serve must follow.
func (s *Server[M]) add(l *net.Listener, t target) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ep.isClosing() {
		return ErrServerClosed
	}
	s.ep.g.add()
	s.accepting.add()
	s.listeners[l] = true
	s.addrs = append(s.addrs, (*l).Addr())
	s.urls = append(s.urls, urlOf(t, (*l).Addr()))
	return nil
}

func (s *Server[M]) serve(l *net.Listener, t target) error {
	defer s.ep.g.done()
	defer func() {
		_ = shut(*l)
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	if u, ok := (*l).(*udpSocket); ok {
		s.accepting.done() // it goes on with the sessions that there are
		return s.servePackets(u, t.kind)
	}
	var cfg *tls.Config
	if t.secure() {
		cfg = t.tlsConfig(s.ep.cfg.TLS)
	}
	defer s.accepting.done()
	return s.ep.accept(*l, func(nc net.Conn) {
		s.accepting.add()
		go s.admit(nc, &t, cfg)
	})
}

func (s *Server[M]) session(kind string, cn conn) *Session[M] {
	ss := newSession(&s.ep, kind, cn, s.codec, s.events)
	ss.hook = s.Configure
	return ss
}

// admit makes a session of an accepted connection, on a goroutine of its own.
func (s *Server[M]) admit(nc net.Conn, t *target, cfg *tls.Config) {
	defer s.ep.g.done()
	ss := s.session(t.kind, nil)
	ss.frameFor(t, false)
	if s.enters(ss, nc) {
		_ = ss.start(cfg, false)
	}
}

// enters gives a session its connection and has it entered, or refused.
func (s *Server[M]) enters(ss *Session[M], nc net.Conn) bool {
	err := ErrGoexit // unless Preface returns
	defer func() {
		s.accepting.done()
		if err != nil {
			// Accepted and closed: the peer learns at once that there is no room.
			ss.in.release()
			_ = shut(nc)
		}
	}()
	// Before that, and by itself: a hook may call runtime.Goexit.
	defer func() {
		if err != nil {
			s.ep.failed(ss.kind, ss.remoteAddr(), err)
		}
	}()
	if err = ss.accept(nc); err == nil {
		err = s.ep.enter(&ss.core)
	}
	return err == nil
}

// Addrs returns the addresses that the server has listened on, in the order of
// Listen and Serve, with the ports that the system chose.
func (s *Server[M]) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]net.Addr(nil), s.addrs...)
}

// URLs returns Addrs as URLs, with the transport as their scheme, for clients to
// dial.
func (s *Server[M]) URLs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.urls...)
}

// ListenAndServe listens on the URLs and serves until ctx ends; then it drains
// like Shutdown, whose closing has DrainTimeout, however long DrainDelay and
// GracePeriod were. It returns nil after a complete drain.
func (s *Server[M]) ListenAndServe(ctx context.Context, urls ...string) error {
	if err := s.Listen(urls...); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-s.ep.quit:
		return ErrServerClosed
	}
	ctx = context.WithoutCancel(ctx)
	s.leave(ctx)
	drain, cancel := context.WithTimeout(ctx, s.ep.cfg.DrainTimeout)
	defer cancel()
	return s.ep.shutdown(drain)
}

// Sessions iterates over the open sessions, in no order: those whose OnOpen has
// succeeded and whose OnClose has not begun. Sessions that open or end
// meanwhile may or may not be seen.
func (s *Server[M]) Sessions() iter.Seq[*Session[M]] { return sessionsOf[M](&s.ep) }

func sessionsOf[M any](ep *endpoint) iter.Seq[*Session[M]] {
	return func(yield func(*Session[M]) bool) {
		for _, c := range ep.snapshot(false) {
			if !yield(c.top.(*Session[M])) {
				return
			}
		}
	}
}

// Stats returns a snapshot of the server's counters.
func (s *Server[M]) Stats() Stats { return s.ep.stats() }
