// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	engine "github.com/getty-net/getty"
)

var lastServer atomic.Int32

type server struct {
	endpoint
	opts ServerOptions

	mu     sync.Mutex
	engine *engine.Server[any]
	web    []*http.Server
	stream net.Listener
	packet net.PacketConn
	socket *udpSocket
	serves sync.WaitGroup
}

func newServer(kind EndPointType, opts []ServerOption) *server {
	s := &server{endpoint: endpoint{id: lastServer.Add(1), kind: kind}}
	for _, o := range opts {
		o(&s.opts)
	}
	s.self, s.pool, s.name = s, s.opts.pool, sessionName(kind)
	return s
}

func sessionName(kind EndPointType) string {
	switch {
	case kind.isStream():
		return "tcp-session"
	case kind.isUDP():
		return "udp-session"
	case kind == WSS_CLIENT:
		return "wss-session"
	}
	return "ws-session"
}

// NewTCPServer makes a server over TCP, or TLS if that is enabled.
func NewTCPServer(opts ...ServerOption) Server { return newServer(TCP_SERVER, opts) }

// NewUDPEndPoint makes a socket of UDP that is one session with all its peers.
func NewUDPEndPoint(opts ...ServerOption) Server { return newServer(UDP_ENDPOINT, opts) }

// NewWSServer makes a server over WebSocket.
func NewWSServer(opts ...ServerOption) Server { return newServer(WS_SERVER, opts) }

// NewWSSServer makes a server over WebSocket over TLS. It panics without a local
// address, a certificate or a key.
func NewWSSServer(opts ...ServerOption) Server {
	s := newServer(WSS_SERVER, opts)
	if s.opts.addr == "" || s.opts.cert == "" || s.opts.key == "" {
		panic(fmt.Sprintf("getty: NewWSSServer needs an address, a certificate and a key; it has %q, %q and %q",
			s.opts.addr, s.opts.cert, s.opts.key))
	}
	return s
}

func (s *server) RunEventLoop(newSession NewSessionCallback) {
	if s.IsClosed() {
		return
	}
	s.setUp.Store(&newSession)
	if err := s.run(); err != nil {
		panic(fmt.Errorf("getty: %s at %q: %w", s.kind, s.opts.addr, err))
	}
}

func (s *server) run() error {
	addr := s.opts.addr
	if !strings.Contains(addr, ":") {
		addr = net.JoinHostPort(addr, "0")
	}
	if s.kind == UDP_ENDPOINT {
		return s.runUDP(addr)
	}
	return s.runStream(addr)
}

func (s *server) runStream(addr string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := s.config()
	var err error
	switch {
	case s.kind == WSS_SERVER:
		cfg.TLS, err = s.opts.secureServer()
	case s.kind == TCP_SERVER && s.opts.ssl:
		cfg.TLS, err = buildTLS(s.opts.tls)
	}
	if err != nil {
		return err
	}
	if s.engine == nil {
		if s.engine, err = engine.NewServer[any](unset{}, engine.NopEvents[any]{}, cfg); err != nil {
			return err
		}
		s.engine.Configure = s.adopt
	}
	serve, err := s.server(cfg.TLS)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	if s.IsClosed() { // meanwhile
		return l.Close()
	}
	s.stream = l
	s.serves.Go(func() {
		if err := serve(l); !errors.Is(err, engine.ErrServerClosed) && !errors.Is(err, http.ErrServerClosed) {
			engineLog.Error("getty: the server has failed", "addr", l.Addr(), "error", err)
		}
	})
	return nil
}

// server is how to serve a listener.
func (s *server) server(cfg *tls.Config) (func(net.Listener) error, error) {
	path, e := s.opts.path, s.engine
	switch {
	case s.kind == TCP_SERVER && cfg == nil:
		return e.Serve, nil
	case s.kind == TCP_SERVER:
		return e.ServeTLS, nil
	case path == "" || path == "/" || (path[0] == '/' && !strings.HasSuffix(path, "/") && !strings.ContainsAny(path, "{} %")):
		if cfg == nil {
			return func(l net.Listener) error { return e.ServeWebSocket(l, path) }, nil
		}
		return func(l net.Listener) error { return e.ServeWebSocketTLS(l, path) }, nil
	}
	return s.webServer(cfg)
}

// webServer is for paths that only http.ServeMux understands.
func (s *server) webServer(cfg *tls.Config) (_ func(net.Listener) error, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("path %q: %v", s.opts.path, r)
		}
	}()
	mux := http.NewServeMux()
	mux.Handle(s.opts.path, s.engine)
	web := &http.Server{
		Handler: mux, ReadHeaderTimeout: engine.DefaultHandshakeTimeout,
		ErrorLog: slog.NewLogLogger(logHandler{}, slog.LevelDebug),
	}
	s.web = append(s.web, web)
	if cfg == nil {
		return web.Serve, nil
	}
	cfg = cfg.Clone()
	cfg.NextProtos = []string{"http/1.1"}
	return func(l net.Listener) error { return web.Serve(tls.NewListener(l, cfg)) }, nil
}

func (s *server) Listener() net.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream
}

func (s *server) PacketConn() net.PacketConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packet
}

func (s *server) Close() {
	if s.done.Swap(true) {
		return
	}
	s.mu.Lock()
	e, web, socket := s.engine, s.web, s.socket
	s.stream, s.packet = nil, nil
	s.mu.Unlock()
	for _, w := range web {
		_ = w.Close()
	}
	if socket != nil {
		socket.close()
		socket.wait(closeLimit)
	}
	if e != nil {
		closeAll(e.Sessions(), e)
	}
	s.serves.Wait()
}

// stopper is a server or client of the engine.
type stopper interface {
	Shutdown(ctx context.Context) error
	Close() error
}

// closeAll closes sessions as their Close does, and cuts what is left of them
// when the limit is reached.
func closeAll(sessions func(yield func(*engine.Session[any]) bool), e stopper) {
	for s := range sessions {
		_ = s.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	if e.Shutdown(ctx) != nil {
		_ = e.Close()
	}
}
