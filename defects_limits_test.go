// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// pipeListener is a listener in memory whose Accept can be told to fail.
type pipeListener struct {
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
	close  func()

	start time.Time
	mu    sync.Mutex
	at    []time.Duration // of the calls of Accept, since start
}

func newPipeListener() *pipeListener {
	l := &pipeListener{
		conns: make(chan net.Conn, 1024), errs: make(chan error, 1024), closed: make(chan struct{}), start: time.Now(),
	}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

func (l *pipeListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.at = append(l.at, time.Since(l.start))
	l.mu.Unlock()
	select {
	case err := <-l.errs:
		return nil, err
	default:
	}
	select {
	case err := <-l.errs:
		return nil, err
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) calls() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.at)
}

func (l *pipeListener) Close() error   { l.close(); return nil }
func (l *pipeListener) Addr() net.Addr { return pipeAddr("listener") }

// connect has a connection accepted and returns the far end.
func (l *pipeListener) connect() net.Conn { return l.connectFrom("pipe") }

func (l *pipeListener) connectFrom(addr string) net.Conn {
	near, far := net.Pipe()
	l.conns <- pipeFrom{near, pipeAddr(addr)}
	return far
}

// pipeFrom is a conn with an address of its own.
type pipeFrom struct {
	net.Conn
	remote pipeAddr
}

func (p pipeFrom) RemoteAddr() net.Addr { return p.remote }

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }

// newPipeServer serves a listener in memory until the end of the test.
func newPipeServer(t testing.TB, events getty.EventListener[string], cfg getty.Config,
	serve func(*getty.Server[string], net.Listener) error,
) (*getty.Server[string], *pipeListener) {
	t.Helper()
	srv, err := getty.NewServer(codec.Line{}, events, cfg)
	must(t, err)
	l, served := newPipeListener(), make(chan error, 1)
	go func() { served <- serve(srv, l) }()
	t.Cleanup(func() {
		must(t, srv.Shutdown(within(t)))
		if err := <-served; !errors.Is(err, getty.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		ended(t, l.closed, "Close of the listener")
	})
	return srv, l
}

// D54: bytes keep it from being idle, and do not make it a message.
func TestD54OneByteAMinute(t *testing.T) {
	for _, timeout := range []time.Duration{90 * time.Second, 10 * time.Minute} {
		t.Run(timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var writing sync.WaitGroup
				t.Cleanup(writing.Wait) // the clock stands still after the end
				r := record()
				cfg := getty.Config{MessageTimeout: timeout, IdleTimeout: 2 * time.Minute}
				_, l := newPipeServer(t, r, cfg, (*getty.Server[string]).Serve)
				far := l.connect()
				var begun time.Time
				writing.Go(func() {
					// A message a minute is in order, for an hour.
					for range 60 {
						_, _ = io.WriteString(far, "on time\n")
						time.Sleep(time.Minute)
					}
					begun = time.Now()
					for {
						if _, err := io.WriteString(far, "x"); err != nil {
							return
						}
						time.Sleep(time.Minute)
					}
				})
				if cause := <-r.closed; !errors.Is(cause, getty.ErrMessageTimeout) {
					t.Fatalf("the cause is %v", cause)
				}
				if took := time.Since(begun); took != timeout {
					t.Fatalf("the unfinished message ended the session after %v", took)
				}
				if len(r.messages) != 60 {
					t.Fatalf("%d messages", len(r.messages))
				}
			})
		})
	}
}

func TestD54MessageTimeout(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		_, url := serve(t, tr, r, getty.Config{MessageTimeout: 10 * time.Millisecond}, nil)
		nc := peer(t, url)
		_, err := io.WriteString(nc, "whole\npart")
		must(t, err)
		if m := receive(t, r.messages, "message"); m != "whole" {
			t.Fatalf("the message is %q", m)
		}
		cause := receive(t, r.closed, "OnClose")
		var ne net.Error
		if !errors.Is(cause, getty.ErrMessageTimeout) || !errors.As(cause, &ne) || !ne.Timeout() {
			t.Fatalf("the cause is %v", cause)
		}
		if _, err := io.ReadAll(nc); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the conn was left open")
		}
	})
}

// A limit that is never reached needs no timer.
func TestMessageTimeoutOfForever(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		_, nc := accepted(t, tr, r, getty.Config{MessageTimeout: math.MaxInt64, IdleTimeout: math.MaxInt64}, nil)
		for _, tt := range []struct{ data, want string }{{"one\nt", "one"}, {"wo\n", "two"}} {
			write(t, nc, tt.data)
			if m := receive(t, r.messages, "message"); m != tt.want {
				t.Fatalf("the message is %q, want %q", m, tt.want)
			}
		}
	})
}

// D54: at its limit the server still answers: it accepts and closes.
func TestD54MaxSessions(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const most = 3
		o, r := observe(), record()
		r.onMessage = func(s *session, m string) error { return s.Send(m) }
		srv, url := serve(t, tr, r, getty.Config{MaxSessions: most, Observer: o}, nil)
		var ss [most]*session
		for i := range ss {
			ss[i] = dial(t, url, echo, getty.Config{})
		}
		reaches(t, most, "the number of sessions", func() int { return srv.Stats().Sessions })
		for i := range 10 {
			nc := tcpPeer(t, url)
			if _, err := io.ReadAll(nc); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the conn beyond the limit was left open")
			}
			if err := receive(t, o.failed, "ConnFailed"); !errors.Is(err, getty.ErrTooManySessions) {
				t.Fatalf("ConnFailed got %v", err)
			}
			if st := srv.Stats(); st.Rejected != int64(i+1) || st.Sessions != most || st.Failed != 0 {
				t.Fatalf("the statistics are %+v", st)
			}
		}
		must(t, ss[0].Close())
		receive(t, o.closed, "SessionClosed")
		echoesOver(t, url)
		if st := srv.Stats(); st.Opened != most+1 || len(r.opened) != most+1 {
			t.Fatalf("the statistics are %+v", st)
		}
	})
}

// tcpPeer is peer without a handshake.
func tcpPeer(t testing.TB, url string) net.Conn {
	t.Helper()
	kind, addr, _ := splitURL(url)
	return peer(t, networkOf(kind)+"://"+addr)
}

// Whoever is in a handshake, or in Configure, has a place.
func TestD54MaxSessionsCountsWhatIsOpening(t *testing.T) {
	eachSecure(t, func(t *testing.T, tr transport) {
		o := observe()
		srv, url := serve(t, tr, echo, getty.Config{MaxSessions: 2, Observer: o}, nil)
		first := tcpPeer(t, url)
		tcpPeer(t, url)
		reaches(t, 2, "the number of handshakes", func() int { return srv.Stats().Opening })
		tcpPeer(t, url)
		if err := receive(t, o.failed, "ConnFailed"); !errors.Is(err, getty.ErrTooManySessions) {
			t.Fatalf("ConnFailed got %v", err)
		}
		must(t, first.Close())
		if err := receive(t, o.failed, "ConnFailed"); errors.Is(err, getty.ErrTooManySessions) {
			t.Fatalf("ConnFailed got %v", err)
		}
		echoesOver(t, url)
	})
}

func TestD54MaxSessionsPerAddr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r := observe(), record()
		srv, l := newPipeServer(t, r, getty.Config{MaxSessionsPerAddr: 2, Observer: o}, (*getty.Server[string]).Serve)
		var kept []net.Conn
		for _, tc := range []struct {
			addr string
			ok   bool
		}{
			{"192.0.2.1:1000", true},
			{"192.0.2.1:1001", true},
			{"192.0.2.1:1002", false},
			{"[::ffff:192.0.2.1]:1003", false}, // the same, as a dual-stack listener has it
			{"192.0.2.2:1000", true},
			{"[2001:db8::1]:1000", true},
			{"[2001:db8::1]:1001", true},
			{"[2001:db8::1]:1002", false},
			{"[fe80::1%eth0]:1000", true},
			{"[fe80::1%eth0]:1001", true},
			{"[fe80::1%eth0]:1002", false},
			{"@", true}, // no IP address: not counted
			{"@", true},
			{"@", true},
		} {
			far := l.connectFrom(tc.addr)
			synctest.Wait()
			if tc.ok != (len(r.opened) == 1) || tc.ok == (len(o.failed) == 1) {
				t.Fatalf("%s: opened %d, refused %d", tc.addr, len(r.opened), len(o.failed))
			}
			if tc.ok {
				<-r.opened
				kept = append(kept, far)
				continue
			}
			if err := <-o.failed; !errors.Is(err, getty.ErrTooManySessions) {
				t.Fatalf("%s: ConnFailed got %v", tc.addr, err)
			}
			if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Fatalf("%s: the far end got %v", tc.addr, err)
			}
		}
		must(t, kept[0].Close())
		receive(t, o.closed, "SessionClosed")
		l.connectFrom("192.0.2.1:1004")
		receive(t, r.opened, "OnOpen in the place that became free")
		l.connectFrom("192.0.2.1:1005")
		receive(t, o.failed, "ConnFailed")
		if st := srv.Stats(); st.Rejected != 5 || st.AcceptErrors != 0 {
			t.Fatalf("the statistics are %+v", st)
		}
	})
}

// What an exhausted system answers to accept is no reason to give up, nor to
// ask it again at once.
func TestD54AcceptBacksOff(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		t.Run(errno.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := record()
				srv, l := newPipeServer(t, r, getty.Config{}, (*getty.Server[string]).Serve)
				const failures = 12
				for range failures {
					l.errs <- &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept", errno)}
				}
				far := l.connect()
				receive(t, r.opened, "OnOpen")
				synctest.Wait()
				var pauses []time.Duration
				calls := l.calls()
				for i, at := range calls[1:] {
					pauses = append(pauses, at-calls[i])
				}
				want := []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000, 0}
				for i := range want {
					want[i] *= time.Millisecond
				}
				if fmt.Sprint(pauses) != fmt.Sprint(want) {
					t.Fatalf("the pauses are %v, want %v", pauses, want)
				}
				if st := srv.Stats(); st.AcceptErrors != failures {
					t.Fatalf("the statistics are %+v", st)
				}
				testAcceptResumes(t, srv, l, errno)
				must(t, far.Close())
			})
		})
	}
}

// testAcceptResumes sees that the pause begins small again after a success, and
// that Close does not wait for its end.
func testAcceptResumes(t *testing.T, srv *getty.Server[string], l *pipeListener, errno syscall.Errno) {
	before := l.calls()
	l.errs <- errno
	start := time.Since(l.start)
	time.Sleep(time.Second)
	if got := l.calls()[len(before):]; len(got) != 1 || got[0]-start != 5*time.Millisecond {
		t.Fatalf("after a failure at %v accepting was tried at %v", start, got)
	}
	for range 20 {
		l.errs <- errno
	}
	time.Sleep(3 * time.Second)
	start = time.Since(l.start)
	must(t, srv.Close())
	must(t, srv.Shutdown(t.Context()))
	if took := time.Since(l.start) - start; took != 0 {
		t.Fatalf("Close took %v", took)
	}
}

// Other errors are those of the listener, and the caller's.
func TestServeReturnsTheErrorOfItsListener(t *testing.T) {
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{})
	must(t, err)
	l := newPipeListener()
	l.errs <- errNoService
	if err := srv.Serve(l); !errors.Is(err, errNoService) {
		t.Fatalf("the error is %v", err)
	}
	ended(t, l.closed, "Close of the listener")
	must(t, srv.Shutdown(within(t)))
	l = newPipeListener()
	if err := srv.Serve(l); !errors.Is(err, getty.ErrServerClosed) {
		t.Fatalf("the error is %v", err)
	}
	ended(t, l.closed, "Close of the listener")
}
