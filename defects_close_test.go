// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

// stuff sends more than the kernel takes for a peer that does not read, and
// returns the number of lines.
func stuff(s *session) (lines int, err error) {
	chunk := strings.Repeat("x", 256<<10)
	for s.Stats().Pending < 1<<20 {
		if err := s.Send(chunk); err != nil {
			return lines, err
		}
		lines++
	}
	return lines, nil
}

// TestD02CloseNeverBlocks closes sessions that have much to flush to a peer
// that does not read before Close has returned. No timeout helps.
func TestD02CloseNeverBlocks(t *testing.T) {
	cfg := getty.Config{
		HighWatermark: 1 << 30, CronPeriod: time.Millisecond,
		WriteTimeout: time.Hour, CloseTimeout: time.Hour,
	}
	for _, place := range []string{"OnOpen", "OnMessage", "OnCron", "elsewhere"} {
		t.Run(place, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				r, lines, sessions := record(), make(chan int, 1), make(chan *session, 1)
				closing := func(s *session) error {
					n, err := stuff(s)
					_ = s.Close()
					lines <- n
					return err
				}
				var once sync.Once
				events := funcs{Close: r.OnClose, Open: func(s *session) error {
					sessions <- s
					if place == "OnOpen" {
						return closing(s)
					}
					return nil
				}, Cron: func(s *session) {
					if place == "OnCron" {
						once.Do(func() { _ = closing(s) })
					}
				}, Message: func(s *session, _ string) error {
					if place == "OnMessage" {
						return closing(s)
					}
					return nil
				}}
				_, nc := open(t, spec{events: events, cfg: cfg})
				write(t, nc, "message\n")
				if s := receive(t, sessions, "OnOpen"); place == "elsewhere" {
					go func() { _ = closing(s) }()
				}
				want := receive(t, lines, "return of Close")
				if got := readLines(t, nc); got != want {
					t.Errorf("peer got %d lines of %d", got, want)
				}
				must(t, nc.Close())
				wantEnd(t, r, nil)
			})
		})
	}
}

func TestD05CallsAfterTheEnd(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		r, inside := record(), make(chan struct{}, 1)
		var before, local, remote any
		r.onOpen = func(s *session) error {
			before, local, remote = s.NetConn(), s.LocalAddr().String(), s.RemoteAddr().String()
			s.SetValue("key", "value")
			return nil
		}
		check := func(s *session) {
			callAll(t, s)
			if s.NetConn() != before || s.LocalAddr().String() != local || s.RemoteAddr().String() != remote {
				t.Error("NetConn or addresses have changed")
			}
			if s.Value("key") != "value" {
				t.Error("Value is lost")
			}
		}
		r.onClose = func(s *session, _ error) {
			check(s)
			inside <- struct{}{}
		}
		ep, nc := open(t, spec{events: r, cfg: getty.Config{CronPeriod: time.Millisecond}})
		s := receive(t, r.opened, "OnOpen")
		nc.Close()
		receive(t, inside, "end of the calls inside OnClose")
		finish(t, ep)
		check(s)
		must(t, s.Close())
		wantEnd(t, r, io.EOF)
		wantNoMore(t, r)
	})
}

// callAll calls every method of a session that has ended.
func callAll(t *testing.T, s *session) {
	ctx := context.Background()
	prepared, err := s.Prepare("x")
	if err != nil {
		t.Errorf("Prepare: %v", err)
	}
	for name, err := range map[string]error{
		"Send": s.Send("x"), "SendContext": s.SendContext(ctx, "x"), "TrySend": s.TrySend("x"),
		"SendFrame": s.SendFrame(ctx, []byte("x\n")), "SendPrepared": s.SendPrepared(ctx, prepared),
	} {
		if se := (*getty.SendError)(nil); !errors.As(err, &se) || se.Written != 0 || !getty.SafeToRetry(err) {
			t.Errorf("%s: %#v, want a *SendError that is safe to retry", name, err)
		}
		if !errors.Is(err, getty.ErrClosed) || !errors.Is(err, net.ErrClosed) || !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, want ErrClosed with the cause", name, err)
		}
	}
	for name, ch := range map[string]<-chan struct{}{
		"Done": s.Done(), "Writable": s.Writable(), "Context": s.Context().Done(),
	} {
		select {
		case <-ch:
		default:
			t.Errorf("%s is not closed", name)
		}
	}
	if err := context.Cause(s.Context()); !errors.Is(err, getty.ErrClosed) || !errors.Is(err, io.EOF) {
		t.Errorf("cause of the context is %v", err)
	}
	must(t, s.Flush())
	must(t, s.Close())
	s.CloseWithCause(errTest)
	if s.ID() == 0 || s.Transport() == "" || s.LastActive().IsZero() || s.Stats().MessagesOut != 0 {
		t.Errorf("ID %d, transport %q, active %v, stats %+v", s.ID(), s.Transport(), s.LastActive(), s.Stats())
	}
}

func TestD05CallsAgainstClose(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		r := record()
		ep, nc := open(t, spec{events: r, cfg: getty.Config{CloseTimeout: limit}})
		s := receive(t, r.opened, "OnOpen")
		var senders sync.WaitGroup
		ctx := context.Background()
		prepared, err := s.Prepare("x")
		must(t, err)
		for _, call := range []func() error{
			func() error { return s.Send("x") },
			func() error { return s.SendContext(ctx, "x") },
			func() error { return s.SendFrame(ctx, []byte("x\n")) },
			func() error { return s.SendPrepared(ctx, prepared) },
			func() error { _ = s.Flush(); return s.TrySend("x") },
			func() error { _ = s.Stats(); <-s.Writable(); return s.Send("x") },
			func() error { _ = s.Context(); s.SetValue(1, 2); return s.Send("x") },
		} {
			senders.Go(func() {
				for {
					if err := call(); errors.Is(err, getty.ErrClosed) {
						return
					} else if err != nil && !errors.Is(err, getty.ErrBackpressure) {
						t.Errorf("send: %v", err)
						return
					}
				}
			})
		}
		go func() {
			for s.Stats().MessagesOut < 1000 {
				runtime.Gosched()
			}
			_ = s.Close()
		}()
		// What was accepted arrives, the rest was refused.
		got := readLines(t, nc)
		nc.Close()
		senders.Wait()
		if want := s.Stats().MessagesOut; int64(got) != want {
			t.Errorf("peer got %d lines, %d were accepted", got, want)
		}
		wantEnd(t, r, nil)
		finish(t, ep)
		wantNoMore(t, r)
	})
}

// TestD05FlushAfterTheEnd: sends were collected when the session was cut and
// its handler gone, so some are lost. Nothing may try to write them later.
func TestD05FlushAfterTheEnd(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		for range 10 {
			var ep endpoint
			r, ready := record(), newGate(t)
			r.onMessage = func(s *session, _ string) error {
				ready.wait()
				_ = s.Send("lost")
				_ = ep.Close()
				runtime.Goexit()
				return nil
			}
			ep, nc := open(t, spec{events: r})
			s := receive(t, r.opened, "OnOpen")
			write(t, nc, "one\ntwo\n")
			ready.open()
			wantEnd(t, r, getty.ErrShutdown)
			must(t, s.Flush())
			finish(t, ep)
		}
	})
}

func TestD06CloseFromEverywhere(t *testing.T) {
	twice := func(s *session) {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { _ = s.Close() })
		}
		both.Wait()
		_ = s.Close()
	}
	for _, place := range []string{"OnOpen", "OnMessage", "OnCron", "OnClose", "elsewhere"} {
		t.Run(place, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				r := record()
				in := func(here string, s *session) {
					if here == place {
						twice(s)
					}
				}
				events := funcs{
					Open:    func(s *session) error { in("OnOpen", s); return r.OnOpen(s) },
					Message: func(s *session, m string) error { in("OnMessage", s); return r.OnMessage(s, m) },
					Cron:    func(s *session) { in("OnCron", s) },
					Close:   func(s *session, cause error) { in("OnClose", s); r.OnClose(s, cause) },
				}
				ep, nc := open(t, spec{events: events, cfg: getty.Config{CronPeriod: time.Millisecond, CloseTimeout: limit}})
				s := receive(t, r.opened, "OnOpen")
				write(t, nc, "message\n")
				if place == "elsewhere" || place == "OnClose" {
					twice(s)
				}
				if got := readAll(t, nc); got != "" {
					t.Errorf("peer got %q", got)
				}
				must(t, nc.Close())
				wantEnd(t, r, nil)
				finish(t, ep)
				if n := len(r.closed); n > 0 {
					t.Errorf("%d more OnClose", n)
				}
			})
		})
	}
}

// TestD06CloseDuringOnOpen closes a session from outside while it opens.
func TestD06CloseDuringOnOpen(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		r, entered := record(), make(chan *session)
		leave := newGate(t)
		var left atomic.Bool
		r.onOpen = func(s *session) error {
			entered <- s
			leave.wait()
			left.Store(true)
			return nil
		}
		r.onClose = func(*session, error) {
			if !left.Load() {
				t.Error("OnClose before OnOpen has returned")
			}
		}
		ep, nc := open(t, spec{events: r, cfg: getty.Config{CronPeriod: time.Millisecond, CloseTimeout: time.Millisecond}})
		write(t, nc, "message\n")
		s := receive(t, entered, "OnOpen")
		returns(t, "Close", func() { _ = s.Close() })
		_, _ = io.Copy(io.Discard, nc) // until CloseTimeout has cut the session
		leave.open()
		wantEnd(t, r, nil)
		finish(t, ep)
		wantNoMore(t, r)
		if n := len(r.crons); n > 0 {
			t.Errorf("%d OnCron", n)
		}
	})
}

// TestD09NoTimerOutlivesASession has sessions end while they open, each in
// another way, and waits a long time for their timers.
func TestD09NoTimerOutlivesASession(t *testing.T) {
	for name, end := range map[string]func(s *session) error{
		"error":  func(*session) error { return errTest },
		"Close":  func(s *session) error { return s.Close() },
		"panic":  func(*session) error { panic(errTest) },
		"Goexit": func(*session) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := record()
				r.onOpen = end
				n := gettytest.NewNetwork(gettytest.Faults{})
				l, err := n.Listen("")
				must(t, err)
				srv, err := getty.NewServer(codec.Line{}, r, getty.Config{
					CronPeriod: time.Second, IdleTimeout: time.Minute, MessageTimeout: time.Minute,
					Keepalive: getty.Keepalive{Interval: time.Second, Frame: []byte("ping\n")},
				})
				must(t, err)
				go func() { _ = srv.Serve(l) }()
				nc, err := n.Dial(t.Context(), "tcp", l.Addr().String())
				must(t, err)
				if got := readAll(t, nc); got != "" {
					t.Errorf("peer got %q", got)
				}
				nc.Close()
				receive(t, r.closed, "OnClose")
				time.Sleep(time.Hour)
				if n := len(r.crons); n > 0 {
					t.Errorf("%d OnCron", n)
				}
				finish(t, srv)
				wantNoMore(t, r)
			})
		})
	}
}

// TestD09SessionLostWhileOpeningIsReplaced: the pool fills although the first
// sessions end while they open.
func TestD09SessionLostWhileOpeningIsReplaced(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		accepted, r := record(), record()
		_, url := serve(t, tr, accepted, getty.Config{}, nil)
		var tries atomic.Int64
		r.onOpen = func(s *session) error {
			switch tries.Add(1) {
			case 1:
				return errTest
			case 2:
				return s.Close()
			case 3:
				return s.NetConn().Close()
			}
			return nil
		}
		c := pooled(t, url, r, getty.ClientConfig{
			PoolSize: 2, Backoff: getty.Backoff{Min: time.Millisecond, Max: time.Millisecond},
			Config: getty.Config{CronPeriod: time.Millisecond},
		})
		must(t, c.Connect(within(t)))
		for range 3 {
			receive(t, r.closed, "OnClose of a failed session")
		}
		must(t, c.Connect(within(t)))
		if st := c.State(); st.Live != 2 {
			t.Errorf("state is %+v", st)
		}
		must(t, c.Send(within(t), "hello"))
		if got := receive(t, accepted.messages, "message"); got != "hello" {
			t.Errorf("message is %q", got)
		}
	})
}
