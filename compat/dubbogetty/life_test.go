// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/dubbo-getty"
)

// TestEcho over every transport.
func TestEcho(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		_, s := pair(t, tr, echo(), r)
		for i := range 100 {
			text := strings.Repeat("x", i*100)
			total, sent, err := s.WritePkg(text, 0)
			if err != nil || total != len(text)+1 || sent != total {
				t.Fatalf("WritePkg: %d, %d, %v", total, sent, err)
			}
			if got := receive(t, r.messages, "echo"); got != text {
				t.Fatalf("the echo of %q is %q", text, got)
			}
		}
	})
}

// TestServerReturnsListening: RunEventLoop returns at once, with the port open.
func TestServerReturnsListening(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		s, addr := serve(t, tr, with(record()))
		nc, err := net.Dial("tcp", addr)
		must(t, err)
		nc.Close()
		if s.IsClosed() || s.ID() < 1 {
			t.Errorf("closed %v, ID %d", s.IsClosed(), s.ID())
		}
		s.Close()
		s.Close()
		if !s.IsClosed() || s.(getty.StreamServer).Listener() != nil {
			t.Error("it is not closed")
		}
		if nc, err := net.Dial("tcp", addr); err == nil {
			nc.Close()
			t.Error("it listens after Close")
		}
	})
}

// TestServerPanicsWithoutPort: a server that cannot listen panics in RunEventLoop.
func TestServerPanicsWithoutPort(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, addr := serve(t, tr, with(record()))
		wantPanic(t, "address already in use", func() { serveAt(t, tr, addr, with(record())) })
	})
}

func wantPanic(t testing.TB, text string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), text) {
			t.Errorf("the panic is %v, want %q in it", r, text)
		}
	}()
	f()
}

// TestClientReturnsOpen: all sessions of the pool are there when RunEventLoop returns.
func TestClientReturnsOpen(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, addr := serve(t, tr, with(echo()))
		r := record()
		var mu sync.Mutex
		var all []getty.Session
		c := connect(t, tr, addr, 4, with(r, func(s getty.Session) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, s)
		}))
		if len(all) != 4 || len(r.opened) != 4 {
			t.Fatalf("%d sessions, %d of them open", len(all), len(r.opened))
		}
		for _, s := range all {
			if _, _, err := s.WritePkg("hello", -1); err != nil {
				t.Error(err)
			}
			if s.EndPoint() != getty.EndPoint(c) {
				t.Errorf("the endpoint is %v", s.EndPoint())
			}
			receive(t, r.messages, "echo")
		}
	})
}

// TestD14PoolOpensInParallel: 16 sessions, for which the original slept 34 s.
func TestD14PoolOpensInParallel(t *testing.T) {
	_, addr := serve(t, transports[0], with(record()))
	begin := time.Now()
	connect(t, transports[0], addr, 16, with(record()))
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestNewSessionOneByOne: what NewSessionCallback changes needs no lock.
func TestNewSessionOneByOne(t *testing.T) {
	n := 0
	_, addr := serve(t, transports[0], with(record()))
	connect(t, transports[0], addr, 16, with(record(), func(getty.Session) { n++ }))
	if n != 16 {
		t.Errorf("%d sessions", n)
	}
}

// TestNewSessionsOfWebSocketServers are set up at the same time: a slow one holds
// up no other. Other servers take one after the other.
func TestNewSessionsOfWebSocketServers(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		called, gate := make(chan struct{}, 2), make(chan struct{})
		_, addr := serve(t, tr, with(record(), func(getty.Session) { called <- struct{}{}; <-gate }))
		defer close(gate)
		for range 2 {
			connect(t, tr, addr, 1, with(record()))
		}
		receive(t, called, "call of NewSessionCallback")
		if tr.isTCP() {
			wantNone(t, called, "second call")
		} else {
			receive(t, called, "second call")
		}
	})
}

// TestConn is the bare socket already in NewSessionCallback.
func TestConn(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		kinds := make(chan string, 2)
		look := func(s getty.Session) {
			switch nc := s.Conn().(type) {
			case *net.TCPConn:
				must(t, nc.SetNoDelay(true))
				must(t, nc.SetReadBuffer(1<<16))
			case *tls.Conn:
				if !nc.ConnectionState().HandshakeComplete {
					t.Error("the handshake is not complete")
				}
			}
			kinds <- fmt.Sprintf("%T", s.Conn())
		}
		_, addr := serve(t, tr, with(record(), look))
		connect(t, tr, addr, 1, with(record(), look))
		want := "*net.TCPConn"
		if tr.name == "tls" || tr.name == "wss" {
			want = "*tls.Conn"
		}
		for range 2 {
			if kind := receive(t, kinds, "session"); kind != want {
				t.Errorf("Conn is a %s, want a %s", kind, want)
			}
		}
	})
}

// TestSessionIsOneValue: a map key, the same in every callback.
func TestSessionIsOneValue(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		seen := make(chan map[getty.Session]int, 1)
		seen <- make(map[getty.Session]int)
		note := func(s getty.Session) {
			m := <-seen
			m[s]++
			seen <- m
		}
		r := record()
		r.onOpen = func(s getty.Session) error { note(s); return nil }
		r.onMessage = func(s getty.Session, _ interface{}) { note(s) }
		r.onClose = note
		_, addr := serve(t, tr, with(r, note))
		peer := record()
		connect(t, tr, addr, 1, with(peer))
		p := receive(t, peer.opened, "session")
		_, _, err := p.WritePkg("x", 0)
		must(t, err)
		p.SetAttribute("ignore-reconnect", true)
		p.Close()
		s := receive(t, r.closed, "OnClose")
		if m := <-seen; len(m) != 1 || m[s] != 4 {
			t.Errorf("seen %v", m)
		}
	})
}

// TestErrorThenClose: the Reader's error reaches OnError, then OnClose comes;
// everything of the session can still be read in both, and is zero afterwards.
func TestErrorThenClose(t *testing.T) {
	for _, tr := range transports[:2] {
		t.Run(tr.name, func(t *testing.T) {
			r := record()
			var order atomic.Int32
			look := func(s getty.Session) {
				if s.GetAttribute("key") != "value" || s.ID() == 0 || s.LocalAddr() == "" || s.RemoteAddr() == "" || s.Conn() == nil {
					t.Errorf("%v %d %q %q", s.GetAttribute("key"), s.ID(), s.LocalAddr(), s.RemoteAddr())
				}
				if _, err := s.Send([]byte("x")); err != getty.ErrSessionClosed { //nolint:errorlint // exactly
					t.Errorf("Send: %v", err)
				}
				if !s.IsClosed() || !strings.Contains(s.Stat(), "Read Bytes: 9, Write Bytes: 0, Read Pkgs: 1") {
					t.Errorf("closed %v, Stat %q", s.IsClosed(), s.Stat())
				}
			}
			r.onError = func(s getty.Session, _ error) { look(s); order.CompareAndSwap(0, 1) }
			r.onClose = func(s getty.Session) { look(s); order.CompareAndSwap(1, 2) }
			_, addr := serve(t, tr, with(r, func(s getty.Session) { s.SetAttribute("key", "value") }))
			peer := record()
			connect(t, tr, addr, 1, with(peer))
			_, err := receive(t, peer.opened, "session").WriteBytes([]byte("good\nbad\n"))
			must(t, err)
			if err := receive(t, r.errs, "OnError"); err != errTest { //nolint:errorlint // exactly
				t.Errorf("the error is %v", err)
			}
			s := receive(t, r.closed, "OnClose")
			if order.Load() != 2 {
				t.Error("OnError was not before OnClose")
			}
			eventually(t, "zero values", func() bool { return s.ID() == 0 })
			wantZero(t, s)
			wantNone(t, r.errs, "second OnError")
		})
	}
}

// TestErrorThatPanics: it ended the life of a session halfway, before OnError.
func TestErrorThatPanics(t *testing.T) {
	for _, tr := range transports[:2] {
		t.Run(tr.name, func(t *testing.T) {
			r, peer := record(), record()
			_, addr := serve(t, tr, with(r))
			connect(t, tr, addr, 1, with(peer))
			if _, err := receive(t, peer.opened, "session").WriteBytes([]byte("nil\n")); err != nil {
				t.Fatal(err)
			}
			if err := receive(t, r.errs, "OnError"); err == nil {
				t.Error("OnError got no error")
			}
			receive(t, r.closed, "OnClose")
		})
	}
}

// wantZero calls everything on a session that has ended: nothing panics (D05).
func wantZero(t *testing.T, s getty.Session) {
	t.Helper()
	s.SetName("late")
	s.SetMaxMsgLen(1)
	s.SetReadTimeout(1)
	s.SetWriteTimeout(1)
	s.SetCronPeriod(1)
	s.SetWaitTime(1)
	s.SetCompressType(getty.CompressZip)
	s.SetAttribute("late", 1)
	s.RemoveAttribute("late")
	s.UpdateActive()
	s.IncReadPkgNum()
	s.IncWritePkgNum()
	s.SetSession(s)
	s.CloseConn(0)
	s.Close()
	if s.ID() != 0 || s.LocalAddr() != "" || s.RemoteAddr() != "" || s.Conn() != nil || s.Stat() != "" {
		t.Errorf("%d %q %q %v %q", s.ID(), s.LocalAddr(), s.RemoteAddr(), s.Conn(), s.Stat())
	}
	if s.GetAttribute("key") != nil || s.GetAttribute("late") != nil || s.ReadTimeout() != 0 || s.WriteTimeout() != 0 {
		t.Errorf("%v %v %v", s.GetAttribute("key"), s.ReadTimeout(), s.WriteTimeout())
	}
	if !s.IsClosed() || s.EndPoint() == nil || s.GetActive().After(time.Now()) {
		t.Error("it is not closed")
	}
	if n, m, err := s.WritePkg("x", 0); n != 0 || m != 0 || err != getty.ErrSessionClosed { //nolint:errorlint // exactly
		t.Errorf("WritePkg: %d, %d, %v", n, m, err)
	}
	if _, err := s.WriteBytes([]byte("x")); !errors.Is(err, getty.ErrSessionClosed) {
		t.Errorf("WriteBytes: %v", err)
	}
	if _, err := s.WriteBytesArray([]byte("x"), []byte("y")); !errors.Is(err, getty.ErrSessionClosed) {
		t.Errorf("WriteBytesArray: %v", err)
	}
	if n, err := s.Send([]byte("x")); n != 0 || err != nil {
		t.Errorf("Send: %d, %v", n, err)
	}
}

// TestEOFIsNoError: OnClose alone tells of the end of a TCP stream. Over
// WebSocket OnError has the peer's close frame, with code 1000.
func TestEOFIsNoError(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, peer := record(), record()
		_, p := pair(t, tr, r, peer)
		p.SetAttribute("ignore-reconnect", true)
		p.Close()
		receive(t, r.closed, "OnClose")
		receive(t, peer.closed, "OnClose of who closed")
		wantNone(t, peer.errs, "OnError of who closed")
		if tr.isTCP() {
			wantNone(t, r.errs, "OnError")
		} else if err := receive(t, r.errs, "OnError"); !strings.Contains(err.Error(), "1000") {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestD03OpenFails: the socket is closed, and OnClose comes.
func TestD03OpenFails(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, peer := record(), record()
		r.onOpen = func(getty.Session) error { return errTest }
		_, addr := serve(t, tr, with(r))
		connect(t, tr, addr, 1, with(peer, func(s getty.Session) { s.SetAttribute("ignore-reconnect", true) }))
		if err := receive(t, r.errs, "OnError"); !errors.Is(err, errTest) {
			t.Errorf("the error is %v", err)
		}
		receive(t, r.closed, "OnClose")
		receive(t, peer.closed, "OnClose of the peer")
	})
}

// TestD04ServerCloseEndsSessions, with the callbacks done when it returns.
func TestD04ServerCloseEndsSessions(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, peer := record(), record()
		s, addr := serve(t, tr, with(r))
		connect(t, tr, addr, 3, with(peer, func(s getty.Session) { s.SetAttribute("ignore-reconnect", true) }))
		for range 3 {
			receive(t, r.opened, "session")
		}
		s.Close()
		wantAllClosed(t, tr, r, peer)
	})
}

// wantAllClosed wants three sessions to have ended here, and to end at their peers
// in an orderly way.
func wantAllClosed(t *testing.T, tr transport, here, peer *recorder) {
	t.Helper()
	if len(here.closed) != 3 || len(here.errs) != 0 {
		t.Errorf("%d OnClose, %d OnError", len(here.closed), len(here.errs))
	}
	for range 3 {
		receive(t, peer.closed, "OnClose of the peer")
		if !tr.isTCP() {
			if err := receive(t, peer.errs, "OnError of the peer"); !strings.Contains(err.Error(), "1000") {
				t.Errorf("the close frame is %v", err)
			}
		}
	}
}

// TestD04ClientCloseEndsSessions likewise.
func TestD04ClientCloseEndsSessions(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, peer := record(), record()
		_, addr := serve(t, tr, with(peer))
		c := connect(t, tr, addr, 3, with(r))
		for range 3 {
			receive(t, peer.opened, "session of the server")
		}
		c.Close()
		wantAllClosed(t, tr, r, peer)
	})
}

// TestD06CloseAnywhere: from callbacks, also before OnOpen, twice, and from many
// goroutines. What was written before is sent.
func TestD06CloseAnywhere(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		for name, where := range map[string]func(*recorder){
			"NewSessionCallback": func(*recorder) {},
			"OnOpen":             func(r *recorder) { r.onOpen = func(s getty.Session) error { s.Close(); return nil } },
			"OnMessage":          func(r *recorder) { r.onMessage = func(s getty.Session, _ interface{}) { s.Close(); s.Close() } },
			"OnClose": func(r *recorder) {
				r.onOpen = func(s getty.Session) error {
					for range 10 {
						go s.Close()
					}
					return nil
				}
				r.onClose = func(s getty.Session) { s.Close() }
			},
		} {
			t.Run(name, func(t *testing.T) {
				r := record()
				where(r)
				_, addr := serve(t, tr, with(r, func(s getty.Session) {
					_, _, err := s.WritePkg("hello", 0)
					must(t, err)
					if name == "NewSessionCallback" {
						s.Close()
					}
				}))
				peer := record()
				peer.onOpen = func(s getty.Session) error { _, _, _ = s.WritePkg("x", 0); return nil }
				connect(t, tr, addr, 1, with(peer, func(s getty.Session) { s.SetAttribute("ignore-reconnect", true) }))
				receive(t, peer.messages, "message that was written before")
				receive(t, r.opened, "OnOpen")
				receive(t, r.closed, "OnClose")
				wantNone(t, r.closed, "second OnClose")
			})
		}
	})
}

// TestEndpointClosedInCallback: Close of a client or server waits there for its
// own callback, as long as it waits at all.
func TestEndpointClosedInCallback(t *testing.T) {
	for _, closer := range []string{"client", "server"} {
		t.Run(closer, func(t *testing.T) {
			t.Parallel()
			took := make(chan time.Duration, 1)
			r, peer := record(), record()
			closes := map[string]*recorder{"client": peer, "server": r}[closer]
			closes.onMessage = func(s getty.Session, _ interface{}) {
				begin := time.Now()
				s.EndPoint().Close()
				took <- time.Since(begin)
			}
			at, s := pair(t, transports[0], r, peer)
			for _, from := range []getty.Session{at, s} {
				_, _, _ = from.WritePkg("x", 0)
			}
			if d := receive(t, took, "return"); d < 900*time.Millisecond || d > 3*time.Second {
				t.Errorf("Close took %v", d)
			}
			receive(t, closes.closed, "OnClose")
		})
	}
}

// TestPanicEndsOneSession and nothing else.
func TestPanicEndsOneSession(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		r.onMessage = func(_ getty.Session, pkg interface{}) {
			if pkg == "panic" {
				panic(errTest)
			}
			r.messages <- pkg
		}
		_, addr := serve(t, tr, with(r))
		peer := record()
		connect(t, tr, addr, 2, with(peer, func(s getty.Session) { s.SetAttribute("ignore-reconnect", true) }))
		first, second := receive(t, peer.opened, "session"), receive(t, peer.opened, "session")
		_, _, err := first.WritePkg("panic", 0)
		must(t, err)
		receive(t, r.closed, "OnClose")
		if err := receive(t, r.errs, "OnError"); !errors.Is(err, errTest) {
			t.Errorf("the error is %v", err)
		}
		_, _, err = second.WritePkg("fine", 0)
		must(t, err)
		receive(t, r.messages, "message on the other session")
	})
}

// TestReset takes everything from a session. A client does not replace it, and
// has room for another one.
func TestReset(t *testing.T) {
	r, peer := record(), record()
	_, addr := serve(t, transports[0], with(peer))
	c := connect(t, transports[0], addr, 1, with(r), fast)
	s := receive(t, r.opened, "session")
	s.SetAttribute("key", "value")
	s.Reset()
	s.SetAttribute("key", "value")
	s.SetCompressType(getty.CompressZip)
	receive(t, peer.closed, "OnClose of the peer")
	if s.ID() != 0 || s.EndPoint() != nil || s.GetAttribute("key") != nil || s.Conn() != nil || s.Stat() != "" {
		t.Error("there is something left")
	}
	if _, _, err := s.WritePkg("x", 0); err == nil {
		t.Error("WritePkg succeeds")
	}
	wantNone(t, r.closed, "OnClose")
	wantNone(t, r.opened, "session in its place")
	c.RunEventLoop(with(r))
	receive(t, r.opened, "session of the second RunEventLoop")
	wantNone(t, r.opened, "further session")
}
