// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"go.uber.org/goleak"
)

// TestG2AfterShutdownNothingRuns: it waits for handlers, delivers nothing
// after them, and leaves no goroutine.
func TestG2AfterShutdownNothingRuns(t *testing.T) {
	for name, workers := range map[string]int{"reader": 0, "workers": 2} {
		t.Run(name, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				before := goleak.IgnoreCurrent()
				var left atomic.Int64
				r, entered, leave := record(), make(chan struct{}, 1), newGate(t)
				r.onMessage = func(*session, string) error {
					entered <- struct{}{}
					leave.wait()
					left.Add(1)
					return nil
				}
				r.onClose = func(*session, error) { left.Add(10) }
				ep, nc := open(t, spec{events: r, cfg: getty.Config{Workers: workers, CronPeriod: time.Millisecond}})
				write(t, nc, "one\ntwo\n")
				receive(t, entered, "OnMessage")
				down := make(chan error, 1)
				go func() { down <- ep.Shutdown(within(t)) }()
				ended(t, receive(t, r.opened, "OnOpen").Done(), "end of the session")
				leave.open()
				readAll(t, nc)
				nc.Close()
				must(t, receive(t, down, "return of Shutdown"))
				if n := left.Load(); n != 11 {
					t.Errorf("Shutdown has returned before the callbacks, or after too many (%d)", n)
				}
				wantEnd(t, r, getty.ErrShutdown)
				receive(t, r.messages, "message")
				wantNoMore(t, r)
				must(t, goleak.Find(before))
				for range 2 { // it may be repeated
					finish(t, ep)
					must(t, ep.Close())
				}
			})
		})
	}
}

// TestG2ShutdownInsideACallback waits for that callback only until its context
// ends, and names it.
func TestG2ShutdownInsideACallback(t *testing.T) {
	for _, place := range []string{"Configure", "OnOpen", "OnMessage", "OnCron", "OnClose"} {
		t.Run(place, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				for _, workers := range []int{0, 1} {
					var ep endpoint
					var once atomic.Bool
					ready, result := newGate(t), make(chan error, 1)
					in := func(here string) {
						if ready.wait(); here == place && once.CompareAndSwap(false, true) {
							ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
							defer cancel()
							result <- ep.Shutdown(ctx)
						}
					}
					events := funcs{
						Open:    func(*session) error { in("OnOpen"); return nil },
						Message: func(*session, string) error { in("OnMessage"); return nil },
						Cron:    func(*session) { in("OnCron") },
						Close:   func(*session, error) { in("OnClose") },
					}
					ep, nc := open(t, spec{
						events: events, configure: func(*session, *setup) error { in("Configure"); return nil },
						cfg: getty.Config{Workers: workers, CronPeriod: time.Millisecond},
					})
					ready.open()
					_, _ = io.WriteString(nc, "message\n")
					if place == "OnClose" {
						nc.Close()
					}
					err := receive(t, result, "return of Shutdown")
					if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), place) {
						t.Errorf("Shutdown inside %s: %v", place, err)
					}
					nc.Close()
					finish(t, ep)
				}
			})
		})
	}
}

// TestG2ShutdownOfABusyCodec: an Append that waits holds up its session, and
// nothing else. Shutdown names it when its context ends.
func TestG2ShutdownOfABusyCodec(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		leave, entered := newGate(t), make(chan struct{}, 1)
		r := record()
		srv, url := serve(t, tr, r, getty.Config{}, func(srv *getty.Server[string]) {
			srv.Configure = with(&hooked{onAppend: func(string) error {
				entered <- struct{}{}
				leave.wait()
				return nil
			}})
		})
		write(t, peer(t, url), "busy\n")
		s, sent := receive(t, r.opened, "OnOpen"), make(chan error, 1)
		go func() { sent <- s.Send("message") }()
		receive(t, entered, "Append")

		stats := make(chan getty.Stats, 1)
		go func() { stats <- srv.Stats() }() // it waits for the session's lock
		write(t, peer(t, url), "idle\n")
		idle := receive(t, r.opened, "OnOpen beside it")
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Append") {
			t.Errorf("Shutdown: %v", err)
		}
		wantCause(t, receive(t, r.closed, "OnClose of the idle one"), getty.ErrShutdown)
		if idle.Context().Err() == nil {
			t.Error("the idle one is not closed")
		}
		must(t, srv.Close())
		leave.open()
		receive(t, sent, "return of Send")
		finish(t, srv)
		receive(t, stats, "Stats")
	})
}

// TestG2ShutdownOfBusyWorkers names a callback that runs on a worker, and
// those that wait for it are gone with it.
func TestG2ShutdownOfBusyWorkers(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, entered, leave := record(), make(chan struct{}, 1), newGate(t)
		r.onMessage = func(*session, string) error {
			entered <- struct{}{}
			leave.wait()
			return nil
		}
		srv, url := serve(t, tr, r, getty.Config{Workers: 1}, nil)
		for range 3 {
			write(t, peer(t, url), "message\n")
			receive(t, r.opened, "OnOpen")
		}
		receive(t, entered, "OnMessage")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := srv.Shutdown(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "OnMessage") {
			t.Errorf("Shutdown: %v", err)
		}
		leave.open()
		finish(t, srv)
		for range 3 {
			wantEnd(t, r, getty.ErrShutdown)
		}
		if n := len(r.messages); n != 1 {
			t.Errorf("%d messages, want the one that was being handled", n)
		}
	})
}

// TestG2ShutdownWhileOpening ends sessions in their handshake, in Configure and
// in OnOpen.
func TestG2ShutdownWhileOpening(t *testing.T) {
	for _, place := range []string{"handshake", "Configure", "OnOpen"} {
		t.Run(place, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				r, entered, leave := record(), make(chan *session, 1), newGate(t)
				in := func(here string, s *session) {
					if here == place {
						entered <- s
						leave.wait()
					}
				}
				r.onOpen = func(s *session) error { in("OnOpen", s); return nil }
				srv, url := serve(t, tr, r, getty.Config{CloseTimeout: time.Millisecond}, func(srv *getty.Server[string]) {
					srv.Configure = func(s *session, _ *setup) error { in("Configure", s); return nil }
				})
				down := make(chan error, 1)
				shutdown := func() { down <- srv.Shutdown(within(t)) }
				if place == "handshake" {
					nc, err := rawDial(url)
					must(t, err)
					defer nc.Close()
					go shutdown()
				} else {
					peer(t, url)
					s := receive(t, entered, place)
					go shutdown()
					ended(t, s.Done(), "end of the session")
				}
				leave.open()
				must(t, receive(t, down, "return of Shutdown"))
				if st := srv.Stats(); st.Opening+st.Sessions > 0 || st.Opened != st.Closed || place == "OnOpen" && st.Closed != 1 {
					t.Errorf("stats are %+v", st)
				}
				if len(r.messages) > 0 || int64(len(r.closed)) != srv.Stats().Closed {
					t.Errorf("%d messages, %d OnClose", len(r.messages), len(r.closed))
				}
			})
		})
	}
}

// TestG2CloseAfterAFailedShutdown and the other way round: all that is left is
// the callback that hangs.
func TestG2CloseAfterAFailedShutdown(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		r, entered, leave := record(), make(chan struct{}, 1), newGate(t)
		r.onMessage = func(*session, string) error {
			entered <- struct{}{}
			leave.wait()
			return nil
		}
		ep, nc := open(t, spec{events: r})
		write(t, nc, "message\n")
		receive(t, entered, "OnMessage")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := ep.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v", err)
		}
		if _, err := io.Copy(io.Discard, nc); err != nil { // the session is cut
			t.Logf("peer: %v", err)
		}
		returns(t, "Close", func() { must(t, ep.Close()) })
		leave.open()
		finish(t, ep)
		wantEnd(t, r, getty.ErrShutdown)
	})
}

// TestG2EndpointsRefuseAfterTheEnd.
func TestG2EndpointsRefuseAfterTheEnd(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		srv, url := serve(t, tr, echo, getty.Config{}, nil)
		c := pooled(t, url, record(), getty.ClientConfig{})
		must(t, c.Connect(within(t)))
		finish(t, c)
		finish(t, srv)
		for name, err := range map[string]error{
			"Connect": c.Connect(within(t)), "Send": c.Send(within(t), "x"),
			"Session": second(c.Session(within(t))),
		} {
			if !errors.Is(err, getty.ErrClosed) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v, want ErrClosed", name, err)
			}
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		for name, err := range map[string]error{
			"Listen": srv.Listen(tr.url(t)), "Serve": srv.Serve(l),
			"ListenAndServe": srv.ListenAndServe(within(t), tr.url(t)),
		} {
			if !errors.Is(err, getty.ErrServerClosed) {
				t.Errorf("%s: %v, want ErrServerClosed", name, err)
			}
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the injected listener is still open: %v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }
