// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// mine is an error of which a nil pointer is worth nothing, as one gets by
// returning it through a function of its own type.
type mine struct{ why error }

func (e *mine) Error() string { return e.why.Error() }
func (e *mine) Unwrap() error { return e.why }

// asked is another one, that is asked and not unwrapped.
type asked struct{ why error }

func (e *asked) Error() string        { return "asked" }
func (e *asked) Is(target error) bool { return e.why == target }

// timed is a net.Error.
type timed struct{ timeout bool }

func (e *timed) Error() string   { return "timed" }
func (e *timed) Timeout() bool   { return e.timeout }
func (e *timed) Temporary() bool { return e.timeout }

var nilErrors = []error{(*mine)(nil), (*asked)(nil), (*timed)(nil), (*net.OpError)(nil), fmt.Errorf("wrapped: %w", (*asked)(nil))}

// TestG4NilErrors: an error that panics when it is looked at, wherever it comes
// from, ends its session alone, with a cause that can be looked at.
func TestG4NilErrors(t *testing.T) {
	for _, none := range nilErrors {
		t.Run(fmt.Sprintf("%T", none), func(t *testing.T) { eachPlaceOf(t, none) })
	}
}

func eachPlaceOf(t *testing.T, none error) {
	for place, sp := range map[string]func(r *recorder) spec{
		"OnOpen": func(r *recorder) spec {
			r.onOpen = func(*session) error { return none }
			return spec{events: r}
		},
		"OnMessage": func(r *recorder) spec {
			r.onMessage = func(*session, string) error { return none }
			return spec{events: r}
		},
		"panic": func(r *recorder) spec {
			r.onMessage = func(*session, string) error { panic(none) }
			return spec{events: r}
		},
		"CloseWithCause": func(r *recorder) spec {
			r.onMessage = func(s *session, _ string) error { s.CloseWithCause(none); return nil }
			return spec{events: r}
		},
		"Decode": func(r *recorder) spec {
			return spec{events: r, configure: with(&hooked{onDecode: func([]byte) error { return none }})}
		},
		"Configure": func(r *recorder) spec {
			return spec{events: r, configure: func(*session, *setup) error { return none }}
		},
	} {
		t.Run(place, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				r, o := record(), newSaboteur("", nil)
				sp := sp(r)
				sp.cfg.Observer = o
				ep, nc := open(t, sp)
				_, _ = io.WriteString(nc, "message\n")
				_, _ = io.Copy(io.Discard, nc)
				nc.Close()
				var told error
				if place == "Configure" {
					told = receive(t, o.failed, "ConnFailed")
				} else {
					told = receive(t, o.causes, "SessionClosed")
				}
				var pe *getty.PanicError
				if !errors.As(told, &pe) || !bytes.Contains(pe.Stack, []byte("harmless")) {
					t.Errorf("the cause is %v, want a *PanicError with the stack of the error's method", told)
				}
				finish(t, ep)
				if st := ep.Stats(); st.Causes["panic"]+st.Refusals["panic"] != 1 {
					t.Errorf("counted are %v and %v", st.Causes, st.Refusals)
				}
			})
		})
	}
}

// literal goes by what an error says.
type literal struct{ text string }

func (e literal) Error() string        { return e.text }
func (e literal) Is(target error) bool { return target.Error() == e.text }

// An error that looks into those it is compared with stays what it is.
func TestErrorsThatLookAtOthersAreCauses(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		r := record()
		why := fmt.Errorf("%w: %w", literal{"full"}, getty.ErrRestart)
		r.onMessage = func(*session, string) error { return why }
		_, nc := open(t, spec{events: r})
		write(t, nc, "message\n")
		if cause := receive(t, r.closed, "OnClose"); cause != why { //nolint:errorlint // that very error
			t.Errorf("the cause is %v, of type %T", cause, cause)
		}
		nc.Close()
	})
}

// deadListener accepts nothing.
type deadListener struct {
	net.Listener
	why error
}

func (l *deadListener) Accept() (net.Conn, error) { return nil, fail(l.why) }

// fail panics for want of an error.
func fail(why error) error {
	if why == nil {
		panic("no error")
	}
	return why
}

// TestNilErrorsOfHooks: neither accepting nor dialing trips over one, or over a
// panic.
func TestNilErrorsOfHooks(t *testing.T) {
	for _, none := range append(nilErrors, nil) {
		t.Run(fmt.Sprintf("Accept %T", none), func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{})
			must(t, err)
			defer finish(t, srv)
			if err := srv.Serve(&deadListener{l, none}); !errors.As(err, new(*getty.PanicError)) {
				t.Errorf("Serve: %v, want a *PanicError", err)
			}
		})
		t.Run(fmt.Sprintf("ReadFrom %T", none), func(t *testing.T) {
			pc, err := net.ListenPacket("udp", "127.0.0.1:0")
			must(t, err)
			srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{})
			must(t, err)
			defer finish(t, srv)
			if err := srv.ServePacket(&deadPackets{pc, none}); !errors.As(err, new(*getty.PanicError)) {
				t.Errorf("ServePacket: %v, want a *PanicError", err)
			}
		})
		t.Run(fmt.Sprintf("Dial %T", none), func(t *testing.T) {
			c := pooled(t, "tcp://127.0.0.1:1", echo, getty.ClientConfig{
				MaxFailures: 1, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, fail(none) },
			})
			defer finish(t, c)
			if err := c.Connect(within(t)); err == nil {
				t.Error("Connect: no error")
			}
			if st := c.Stats(); st.DialFailures != 1 {
				t.Errorf("stats are %+v", st)
			}
		})
		t.Run(fmt.Sprintf("GetCertificate %T", none), func(t *testing.T) {
			o := newSaboteur("", nil)
			cfg := getty.Config{Observer: o, TLS: &tls.Config{
				MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, fail(none) },
			}}
			srv, url := serve(t, transport{"tls", func(testing.TB) string { return "tls://127.0.0.1:0" }}, echo, cfg, nil)
			_, addr, _ := splitURL(url)
			nc, err := tls.Dial("tcp", addr, clientTLS())
			if err == nil {
				nc.Close()
				t.Fatal("the handshake succeeded")
			}
			receive(t, o.failed, "ConnFailed")
			if st := srv.Stats(); st.Refusals["panic"] != 1 {
				t.Errorf("refusals are %v", st.Refusals)
			}
		})
	}
}

// deadPackets receives nothing.
type deadPackets struct {
	net.PacketConn
	why error
}

func (p *deadPackets) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, fail(p.why) }

// fragileConn fails to read or to write once it is armed.
type fragileConn struct {
	net.Conn
	reads, writes atomic.Bool
	why           error
}

func (c *fragileConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.reads.Load() {
		return 0, fail(c.why)
	}
	return n, err
}

func (c *fragileConn) Close() error {
	_ = c.Conn.Close()
	return fail(c.why)
}

func (c *fragileConn) Write(p []byte) (int, error) {
	if c.writes.Load() {
		return 0, fail(c.why)
	}
	return c.Conn.Write(p)
}

// causeThrough has a client open one session over what wrap makes of its conn, and
// returns the cause of its end.
func causeThrough(t *testing.T, url string, r *recorder, cfg getty.Config, wrap func(nc net.Conn) net.Conn) error {
	t.Helper()
	c := pooled(t, url, r, getty.ClientConfig{
		Config: cfg, MaxFailures: 1,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return wrap(nc), err
		},
	})
	c.Reconnect = func(*session, error) bool { return false }
	_ = c.Connect(within(t)) // the session may be over by then
	cause := receive(t, r.closed, "OnClose")
	finish(t, c)
	return cause
}

// TestNilErrorsOfConns: what a conn of the user's fails with goes through TLS,
// compression and the transports' own looks at errors. It may panic as well, when
// it is closed, too.
func TestNilErrorsOfConns(t *testing.T) {
	for _, none := range append(nilErrors, nil) {
		eachTransport(t, func(t *testing.T, tr transport) {
			for _, how := range []getty.Compression{getty.CompressNone, getty.CompressFlate} {
				if how != getty.CompressNone && (tr.name == "ws" || tr.name == "wss") {
					continue
				}
				for _, reads := range []bool{true, false} {
					cfg := getty.Config{Compression: how, CloseTimeout: time.Millisecond}
					_, url := serve(t, tr, echo, cfg, nil)
					var fc *fragileConn
					r := record()
					r.onOpen = func(s *session) error {
						fc.reads.Store(reads)
						fc.writes.Store(!reads)
						_ = s.Send("x")
						return nil
					}
					cause := causeThrough(t, url, r, cfg, func(nc net.Conn) net.Conn {
						fc = &fragileConn{Conn: nc, why: none}
						return fc
					})
					if cause == nil {
						t.Errorf("%T, reads: %v: no cause", none, reads)
					}
				}
			}
		})
	}
}

// liar reports other numbers than there are.
type liar struct {
	net.Conn
	armed   atomic.Bool
	in, out int
}

func (c *liar) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.armed.Load() && c.in != 0 {
		return c.in, nil
	}
	return n, err
}

func (c *liar) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.armed.Load() && c.out != 0 {
		return c.out, nil
	}
	return n, err
}

// TestConnsThatMiscount, such as one that reports what it made of the bytes.
func TestConnsThatMiscount(t *testing.T) {
	for _, tt := range []struct{ in, out int }{{in: 1 << 20}, {in: -1}, {out: 1 << 20}, {out: -1}} {
		eachTransport(t, func(t *testing.T, tr transport) {
			_, url := serve(t, tr, echo, getty.Config{}, nil)
			cc := &liar{in: tt.in, out: tt.out}
			r := record()
			r.onOpen = func(s *session) error {
				cc.armed.Store(true)
				_ = s.Send("x")
				return nil
			}
			cause := causeThrough(t, url, r, getty.Config{CloseTimeout: time.Millisecond}, func(nc net.Conn) net.Conn {
				cc.Conn = nc
				return cc
			})
			if cause == nil || !strings.Contains(cause.Error(), "want at most") {
				t.Errorf("%+v: the cause is %v", tt, cause)
			}
		})
	}
}

// badCloser panics when it is closed.
type badCloser struct{ *zipOneConn }

func (l badCloser) Close() error {
	_ = l.zipOneConn.Close()
	panic("Close")
}

// placeless has no addresses, and panics when it is closed.
type placeless struct{ *fragileConn }

func (placeless) RemoteAddr() net.Addr { panic("RemoteAddr") }
func (placeless) LocalAddr() net.Addr  { panic("LocalAddr") }

// TestConnsThatPanicAtTheDoor are refused, or served, as others are.
func TestConnsThatPanicAtTheDoor(t *testing.T) {
	for _, cfg := range []getty.Config{{MaxSessions: 1}, {MaxSessionsPerAddr: 1}, {Guard: getty.Guard{MaxSessionsPerPrefix: 1}}} {
		srv, err := getty.NewServer(codec.Line{}, echo, cfg)
		must(t, err)
		l := badCloser{&zipOneConn{conns: make(chan net.Conn), closed: make(chan struct{})}}
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := srv.Serve(l); !errors.Is(err, getty.ErrServerClosed) {
				t.Errorf("Serve: %v", err)
			}
		})
		var peers []net.Conn
		for range 3 {
			one, other := net.Pipe()
			l.conns <- placeless{&fragileConn{Conn: one}}
			peers = append(peers, other)
			if len(peers) == 1 {
				ask(t, other, "hello") // it is in before the others come
			}
		}
		if cfg.MaxSessions > 0 {
			_, _ = io.Copy(io.Discard, peers[1])
			_, _ = io.Copy(io.Discard, peers[2])
		}
		for _, nc := range peers {
			nc.Close()
		}
		finish(t, srv)
		serving.Wait()
	}
}

// nowhere is an address, of which a nil pointer is worth nothing.
type nowhere struct{ place string }

func (a *nowhere) Network() string { return "nowhere" }
func (a *nowhere) String() string  { return a.place }

// placed has such addresses.
type placed struct{ net.Conn }

func (placed) RemoteAddr() net.Addr { return (*nowhere)(nil) }
func (placed) LocalAddr() net.Addr  { return (*nowhere)(nil) }

// TestConnsWithoutAddresses are served, and can be asked about their handshakes.
func TestConnsWithoutAddresses(t *testing.T) {
	for name, wrap := range map[string]func(nc net.Conn) net.Conn{
		"none": func(nc net.Conn) net.Conn { return placeless{&fragileConn{Conn: nc}} },
		"nil":  func(nc net.Conn) net.Conn { return placed{nc} },
	} {
		t.Run(name, func(t *testing.T) {
			r, asked := record(), make(chan error, 1)
			r.onOpen = func(s *session) error {
				go func() { // where a panic would end the process
					if u := s.Upgrade(); u == nil || u.Request == nil || u.Request.RemoteAddr != "" {
						asked <- fmt.Errorf("the handshake is %+v", u)
						return
					}
					asked <- nil
				}()
				return receive(t, asked, "answer")
			}
			srv, err := getty.NewServer(codec.Line{}, r, getty.Config{MaxSessionsPerAddr: 10})
			must(t, err)
			l := &zipOneConn{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
			one, other := net.Pipe()
			l.conns <- wrap(one)
			var serving sync.WaitGroup
			serving.Go(func() { _ = srv.ServeWebSocket(l, "") })
			nc := rawEnd(other, "ws", true, "").(*wsRaw)
			must(t, nc.Handshake())
			write(t, nc, "message\n")
			receive(t, r.messages, "message")
			nc.Close()
			finish(t, srv)
			serving.Wait()
		})
	}
}

// TestConnsThatPanicBeforeAProxyAreClosed: what a Dial hook has opened is not lost.
func TestConnsThatPanicBeforeAProxyAreClosed(t *testing.T) {
	proxy, err := url.Parse("http://proxy:1")
	must(t, err)
	closed := make(chan bool, 1)
	var cfg getty.ClientConfig
	cfg.WebSocket.Proxy, cfg.MaxFailures = http.ProxyURL(proxy), 1
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
		one, other := net.Pipe()
		go func() {
			_, _ = io.Copy(io.Discard, other)
			closed <- true
		}()
		return voiceless{one}, nil
	}
	if err := pooled(t, "ws://server:1/", echo, cfg).Connect(within(t)); !errors.As(err, new(*getty.PanicError)) {
		t.Errorf("Connect: %v, want a *PanicError", err)
	}
	receive(t, closed, "end of the conn")
}

// voiceless panics when it is written to.
type voiceless struct{ net.Conn }

func (voiceless) Write([]byte) (int, error) { panic("Write") }

// TestAcceptOfNothing: neither a conn nor an error is an error.
func TestAcceptOfNothing(t *testing.T) {
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{})
	must(t, err)
	defer finish(t, srv)
	l := badCloser{&zipOneConn{conns: make(chan net.Conn, 1), closed: make(chan struct{})}}
	l.conns <- nil
	if err := srv.Serve(l); err == nil || errors.Is(err, getty.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
}
