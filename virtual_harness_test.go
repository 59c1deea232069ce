// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

// virtual is a network in memory inside a bubble of testing/synctest.
type virtual struct {
	*gettytest.Network
	tls   bool
	ws    bool
	start time.Time
	wrap  func(net.Conn) net.Conn // if set, what the server gets for a conn

	farewell func(*session) // of the servers that are started from now on
}

func newNetwork() *gettytest.Network { return gettytest.NewNetwork(gettytest.Faults{}) }

// inVirtualTime runs a test in a bubble, over plain streams and under TLS.
func inVirtualTime(t *testing.T, test func(t *testing.T, v *virtual)) {
	certificate() // not inside a bubble, whose clock begins with the year 2000
	for _, kind := range []string{"plain", "tls", "ws"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, &virtual{Network: newNetwork(), tls: kind == "tls", ws: kind == "ws", start: time.Now()})
			})
		})
	}
}

// inVirtualStream is inVirtualTime for what concerns streams of bytes only.
func inVirtualStream(t *testing.T, test func(t *testing.T, v *virtual)) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		if !v.ws {
			test(t, v)
		}
	})
}

// wrapper is a listener whose conns are wrapped.
type wrapper struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (w wrapper) Accept() (net.Conn, error) {
	nc, err := w.Listener.Accept()
	if err == nil && w.wrap != nil {
		nc = w.wrap(nc)
	}
	return nc, err
}

// serve starts the only server of v.
func (v *virtual) serve(t *testing.T, events getty.EventListener[string], cfg getty.Config, configure func(*session, *setup) error) *getty.Server[string] {
	t.Helper()
	cfg.TLS = serverTLS()
	srv, err := getty.NewServer(codec.Line{}, events, cfg)
	must(t, err)
	srv.Configure, srv.Farewell = configure, v.farewell
	l, err := v.Listen("server:1")
	must(t, err)
	l = wrapper{l, v.wrap}
	go func() {
		switch {
		case v.tls:
			_ = srv.ServeTLS(l)
		case v.ws:
			_ = srv.ServeWebSocket(l, "")
		default:
			_ = srv.Serve(l)
		}
	}()
	t.Cleanup(func() { must(t, srv.Shutdown(context.Background())) })
	return srv
}

// dial connects a raw peer to the server. It returns when the session is open.
func (v *virtual) dial(t *testing.T) net.Conn {
	t.Helper()
	nc, err := v.Dial(context.Background(), "tcp", "server:1")
	must(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	if v.tls {
		nc = virtualTLS(t, nc)
	}
	if v.ws {
		nc = rawEnd(nc, "ws", true, "")
		must(t, nc.(*wsRaw).Handshake())
	}
	synctest.Wait()
	return nc
}

// virtualTLS runs the handshake of a raw client over nc, by the clock of the certificate.
func virtualTLS(t *testing.T, nc net.Conn) *tls.Conn {
	t.Helper()
	cfg := clientTLS()
	cfg.ServerName = "localhost"
	cert, _ := certificate()
	cfg.Time = func() time.Time { return cert.Leaf.NotBefore.Add(time.Hour) }
	tc := tls.Client(nc, cfg)
	must(t, tc.Handshake())
	return tc
}

// since is how much time has passed in the bubble.
func (v *virtual) since() time.Duration { return time.Since(v.start) }

// tape keeps what a raw peer reads and when it came.
type tape struct {
	mu   sync.Mutex
	data bytes.Buffer
	at   []time.Duration
	err  error
}

// tape reads everything that nc gets from now on.
func (v *virtual) tape(nc net.Conn) *tape {
	tp := new(tape)
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, err := nc.Read(b)
			tp.mu.Lock()
			if n > 0 {
				tp.data.Write(b[:n])
				tp.at = append(tp.at, v.since())
			}
			tp.err = err
			tp.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return tp
}

// text is what has been read when nothing more can arrive now.
func (tp *tape) text() string {
	synctest.Wait()
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return tp.data.String()
}

// times is when it was read.
func (tp *tape) times() []time.Duration {
	synctest.Wait()
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return slices.Clone(tp.at)
}

// clock is a list of moments that callbacks fill.
type clock struct {
	mu sync.Mutex
	at []time.Duration
}

func (c *clock) note(d time.Duration) {
	c.mu.Lock()
	c.at = append(c.at, d)
	c.mu.Unlock()
}

func (c *clock) want(t testing.TB, what string, want ...time.Duration) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.at, want) {
		t.Errorf("%s at %v, want %v", what, c.at, want)
	}
}

// wantEndAt sleeps until after the moment at which the session of r has to end.
func (v *virtual) wantEndAt(t *testing.T, r *recorder, at time.Duration, want error) {
	t.Helper()
	time.Sleep(at - v.since() - 1)
	synctest.Wait()
	if len(r.closed) > 0 {
		t.Fatalf("session ended before %v, cause %v", at, <-r.closed)
	}
	time.Sleep(time.Nanosecond)
	synctest.Wait()
	if len(r.closed) == 0 {
		t.Fatalf("session has not ended at %v", at)
	}
	wantCause(t, <-r.closed, want)
}

// wantOpen fails if the session of r has ended.
func wantOpen(t *testing.T, r *recorder) {
	t.Helper()
	synctest.Wait()
	if len(r.closed) > 0 {
		t.Fatalf("session ended, cause %v", <-r.closed)
	}
}
