// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// wrapped is a listener whose conns are wrapped.
type wrapped struct {
	net.Listener
	wrap func(nc net.Conn) net.Conn
}

func (w wrapped) Accept() (net.Conn, error) {
	nc, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return w.wrap(nc), nil
}

func wrapListener(t testing.TB, wrap func(nc net.Conn) net.Conn) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return wrapped{l, wrap}
}

// serveOn serves an injected listener until the end of the test.
func serveOn(t testing.TB, l net.Listener, events getty.EventListener[string], cfg getty.Config) *getty.Server[string] {
	t.Helper()
	cfg.TLS = serverTLS()
	srv, err := getty.NewServer(codec.Line{}, events, cfg)
	must(t, err)
	serveWith(t, srv, l, srv.Serve)
	return srv
}

// serveWith runs Serve or ServeTLS of a server until the end of the test.
func serveWith(t testing.TB, srv *getty.Server[string], l net.Listener, serve func(net.Listener) error) {
	t.Helper()
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := serve(l); !errors.Is(err, getty.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is still open: %v", err)
		}
	})
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
}

// inject listens by itself and has a server serve that, as the transport wants.
func inject(t testing.TB, tr transport, events getty.EventListener[string], wrap func(net.Conn) net.Conn) (srv *getty.Server[string], url string) {
	t.Helper()
	kind, addr, path := splitURL(tr.url(t))
	l, err := net.Listen(networkOf(kind), addr)
	must(t, err)
	srv, err = getty.NewServer(codec.Line{}, events, getty.Config{TLS: serverTLS()})
	must(t, err)
	serve := srv.Serve
	switch kind {
	case "tls":
		serve = srv.ServeTLS
	case "ws":
		serve = func(l net.Listener) error { return srv.ServeWebSocket(l, path) }
	case "wss":
		serve = func(l net.Listener) error { return srv.ServeWebSocketTLS(l, path) }
	}
	serveWith(t, srv, wrapped{l, wrap}, serve)
	return srv, kind + "://" + l.Addr().String() + path
}

func TestServeInjectedListener(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		r.onMessage = func(s *session, m string) error { return s.Send(m) }
		srv, url := inject(t, tr, r, func(nc net.Conn) net.Conn { return nc })
		answers := record()
		s := dial(t, url, answers, getty.Config{})
		must(t, s.Send("hello"))
		if got := receive(t, answers.messages, "answer"); got != "hello" {
			t.Errorf("answer is %q", got)
		}
		if got := receive(t, r.opened, "OnOpen").Transport(); got != tr.name {
			t.Errorf("the transport is %q", got)
		}
		if urls := srv.URLs(); len(urls) != 1 || urls[0] != url || len(srv.Addrs()) != 1 {
			t.Errorf("URLs are %q, want %q", urls, url)
		}
	})
}

// plain hides what a conn is, embeds says what it embeds. Both change each byte
// on its way: who reads or writes around them reads and writes nonsense.
type plain struct{ net.Conn }

type embeds struct{ *net.TCPConn }

type embedsUnix struct{ *net.UnixConn }

func invert(p []byte) []byte {
	q := slices.Clone(p)
	for i := range q {
		q[i] = ^q[i]
	}
	return q
}

func (c plain) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	copy(p, invert(p[:n]))
	return n, err
}

func (c embeds) Read(p []byte) (int, error)     { return plain{c.TCPConn}.Read(p) }
func (c embedsUnix) Read(p []byte) (int, error) { return plain{c.UnixConn}.Read(p) }

func (c plain) Write(p []byte) (int, error)      { return c.Conn.Write(invert(p)) }
func (c embeds) Write(p []byte) (int, error)     { return plain{c.TCPConn}.Write(p) }
func (c embedsUnix) Write(p []byte) (int, error) { return plain{c.UnixConn}.Write(p) }

func embed(nc net.Conn) net.Conn {
	switch c := nc.(type) {
	case *net.TCPConn:
		return embeds{c}
	case *net.UnixConn:
		return embedsUnix{c}
	}
	return plain{nc}
}

// TestServeWrappedConns and dial them: they take the portable path, though they
// have the methods of the conn that they embed.
func TestServeWrappedConns(t *testing.T) {
	hide := func(nc net.Conn) net.Conn { return plain{nc} }
	for _, tt := range []struct {
		name             string
		accepted, dialed func(net.Conn) net.Conn
	}{{"plain", hide, hide}, {"accepted embeds", embed, hide}, {"dialed embeds", hide, embed}} {
		t.Run(tt.name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				accepted, r := record(), record()
				accepted.onMessage = func(s *session, m string) error { return s.Send(m) }
				_, url := inject(t, tr, accepted, tt.accepted)
				cfg := getty.ClientConfig{Config: getty.Config{CloseTimeout: time.Millisecond}}
				cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					nc, err := new(net.Dialer).DialContext(ctx, network, address)
					if err != nil {
						return nil, err
					}
					return tt.dialed(nc), nil
				}
				c := pooled(t, url, r, cfg)
				big := strings.Repeat("x", 200<<10)
				for _, m := range []string{"a", big, "b", "c"} {
					must(t, c.Send(within(t), m))
				}
				for _, want := range []string{"a", big, "b", "c"} {
					if got := receive(t, r.messages, "answer"); got != want {
						t.Fatalf("answer has %d bytes, want %d", len(got), len(want))
					}
				}
				s := receive(t, accepted.opened, "OnOpen")
				if _, ok := s.NetConn().(*tls.Conn); !ok && reflect.TypeOf(s.NetConn()) != reflect.TypeOf(tt.accepted(underneath(s.NetConn()))) {
					t.Errorf("NetConn is a %T", s.NetConn())
				}
				finish(t, c)
				wantEnd(t, r, getty.ErrShutdown)
				wantEnd(t, accepted, io.EOF)
			})
		})
	}
}

func underneath(nc net.Conn) net.Conn {
	switch c := nc.(type) {
	case plain:
		return c.Conn
	case embeds:
		return c.TCPConn
	case embedsUnix:
		return c.UnixConn
	}
	return nc
}

// TestServeTLSListener: conns of crypto/tls's own listener are streams like any
// other that is not known.
func TestServeTLSListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r := record()
	r.onMessage = func(s *session, m string) error { return s.Send(m) }
	serveOn(t, tls.NewListener(l, serverTLS()), r, getty.Config{})
	nc := peer(t, "tls://"+l.Addr().String())
	ask(t, nc, "hello")
	if _, ok := receive(t, r.opened, "OnOpen").NetConn().(*tls.Conn); !ok {
		t.Error("NetConn is not what the listener gave")
	}
	nc.Close()
	wantEnd(t, r, io.EOF)
}

// broken is a listener that fails for good, after one error that passes.
type broken struct {
	net.Listener
	errs chan error
}

func (b broken) Accept() (net.Conn, error) { return nil, <-b.errs }

func TestServeEndsWithItsListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{})
	must(t, err)
	b := broken{l, make(chan error, 2)}
	b.errs <- &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", syscall.EMFILE)}
	b.errs <- errTest
	if err := srv.Serve(b); !errors.Is(err, errTest) {
		t.Errorf("Serve: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
	if n := srv.Stats().AcceptErrors; n != 1 {
		t.Errorf("%d accept errors", n)
	}
	finish(t, srv)
}

func TestServeTLSWithoutACertificate(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{})
	must(t, err)
	var ce *getty.ConfigError
	if err := srv.ServeTLS(l); !errors.As(err, &ce) || ce.Field != "Config.TLS" {
		t.Errorf("ServeTLS: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
	finish(t, srv)
}

// TestServeUntilTheContextEnds: ListenAndServe drains and returns nil.
func TestServeUntilTheContextEnds(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, entered, leave := record(), make(chan struct{}, 1), newGate(t)
		r.onMessage = func(s *session, m string) error {
			entered <- struct{}{}
			leave.wait()
			return nil
		}
		srv, err := getty.NewServer(codec.Line{}, r, getty.Config{TLS: serverTLS(), DrainTimeout: limit})
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		served := make(chan error, 1)
		go func() { served <- srv.ListenAndServe(ctx, tr.url(t), "tcp://127.0.0.1:0") }()
		for len(srv.URLs()) < 2 {
			runtime.Gosched()
		}
		nc := peer(t, srv.URLs()[0])
		write(t, nc, "message\n")
		receive(t, entered, "OnMessage")
		cancel()
		leave.open()
		readAll(t, nc)
		nc.Close()
		if err := receive(t, served, "return of ListenAndServe"); err != nil {
			t.Errorf("ListenAndServe: %v", err)
		}
		wantEnd(t, r, getty.ErrShutdown)
		for _, url := range srv.URLs() {
			if nc, err := rawDial(url); err == nil {
				nc.Close()
				t.Errorf("%s is still served", url)
			}
		}
	})
}

// TestServeDrainTimeout bounds what ListenAndServe waits for.
func TestServeDrainTimeout(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		entered, leave := make(chan struct{}, 1), newGate(t)
		events := funcs{Message: func(*session, string) error {
			entered <- struct{}{}
			leave.wait()
			return nil
		}}
		srv, err := getty.NewServer(codec.Line{}, events, getty.Config{TLS: serverTLS(), DrainTimeout: time.Millisecond})
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		served := make(chan error, 1)
		go func() { served <- srv.ListenAndServe(ctx, tr.url(t)) }()
		for len(srv.URLs()) < 1 {
			runtime.Gosched()
		}
		write(t, peer(t, srv.URLs()[0]), "message\n")
		receive(t, entered, "OnMessage")
		cancel()
		err = receive(t, served, "return of ListenAndServe")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "OnMessage") {
			t.Errorf("ListenAndServe: %v", err)
		}
		leave.open()
		finish(t, srv)
	})
}

// TestServeListensOnAllOrNone of the URLs.
func TestServeListensOnAllOrNone(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		srv, url := serve(t, tr, echo, getty.Config{}, nil)
		before := len(srv.URLs())
		free, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		must(t, free.Close())
		if err := srv.Listen("tcp://"+free.Addr().String(), url); err == nil {
			t.Error("listening twice on one address succeeds")
		}
		if n := len(srv.URLs()); n != before {
			t.Errorf("%d URLs, want %d", n, before)
		}
		if nc, err := rawDial("tcp://" + free.Addr().String()); err == nil {
			nc.Close()
			t.Error("the first URL is listened on")
		}
		ask(t, peer(t, url), "still there")
	})
}
