// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"slices"
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

// virtual is a network in memory inside a bubble of testing/synctest.
type virtual struct {
	*gettytest.Network
	tls   bool
	start time.Time
	wrap  func(net.Conn) net.Conn // if set, what the server gets for a conn
}

// inVirtualTime runs a test in a bubble, over plain streams and under TLS.
func inVirtualTime(t *testing.T, test func(t *testing.T, v *virtual)) {
	certificate() // not inside a bubble, whose clock begins with the year 2000
	for _, kind := range []string{"plain", "tls"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := gettytest.NewNetwork(gettytest.Faults{})
				test(t, &virtual{Network: network, tls: kind == "tls", start: time.Now()})
			})
		})
	}
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
	srv.Configure = configure
	l, err := v.Listen("server:1")
	must(t, err)
	l = wrapper{l, v.wrap}
	go func() {
		if v.tls {
			_ = srv.ServeTLS(l)
		} else {
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
		cfg := clientTLS()
		cfg.ServerName = "localhost"
		cert, _ := certificate()
		cfg.Time = func() time.Time { return cert.Leaf.NotBefore.Add(time.Hour) }
		tc := tls.Client(nc, cfg)
		must(t, tc.Handshake())
		nc = tc
	}
	synctest.Wait()
	return nc
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

func TestCronKeepsItsPeriod(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		var ticks clock
		events := funcs{Cron: func(*session) { ticks.note(v.since()) }}
		v.serve(t, events, getty.Config{CronPeriod: time.Second}, nil)
		nc := v.dial(t)
		time.Sleep(3500 * time.Millisecond)
		_ = nc.Close()
		time.Sleep(time.Hour)
		ticks.want(t, "OnCron", time.Second, 2*time.Second, 3*time.Second)
	})
}

func TestASlowCronLeavesPeriodsOut(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		var ticks clock
		var running atomic.Int32
		events := funcs{Cron: func(*session) {
			if running.Add(1) > 1 {
				t.Error("OnCron overlaps itself")
			}
			ticks.note(v.since())
			time.Sleep(2500 * time.Millisecond)
			running.Add(-1)
		}}
		v.serve(t, events, getty.Config{CronPeriod: time.Second}, nil)
		v.dial(t)
		time.Sleep(9 * time.Second)
		ticks.want(t, "OnCron", time.Second, 4*time.Second, 7*time.Second)
	})
}

func TestCronOverlapsNeitherOnOpenNorOnClose(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		var ticks, opened, closed clock
		events := funcs{
			Open: func(*session) error {
				time.Sleep(5 * time.Second)
				opened.note(v.since())
				return nil
			},
			Cron: func(s *session) {
				ticks.note(v.since())
				_ = s.Close()
				time.Sleep(time.Minute)
				ticks.note(v.since())
			},
			Close: func(*session, error) {
				closed.note(v.since())
				time.Sleep(time.Hour)
			},
		}
		srv := v.serve(t, events, getty.Config{CronPeriod: time.Second}, nil)
		nc := v.dial(t)
		time.Sleep(7 * time.Second)
		_ = nc.Close()
		must(t, srv.Shutdown(context.Background()))
		opened.want(t, "end of OnOpen", 5*time.Second)
		ticks.want(t, "OnCron", 6*time.Second, 66*time.Second)
		closed.want(t, "OnClose", 66*time.Second)
	})
}

func TestCronRunsWhileOnMessageDoes(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		var ticks clock
		r := record()
		r.onMessage = func(*session, string) error {
			time.Sleep(10 * time.Second)
			return nil
		}
		events := getty.EventFuncs[string]{
			Message: r.OnMessage,
			Cron:    func(*session) { ticks.note(v.since()) },
		}
		v.serve(t, events, getty.Config{CronPeriod: 4 * time.Second}, nil)
		write(t, v.dial(t), "x\n")
		time.Sleep(9 * time.Second)
		ticks.want(t, "OnCron", 4*time.Second, 8*time.Second)
	})
}

func TestG6ASessionWithoutProgressIsIdle(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{IdleTimeout: time.Minute}, nil)
		nc := v.dial(t)
		time.Sleep(30 * time.Second)
		write(t, nc, "x\n")
		v.wantEndAt(t, r, 90*time.Second, getty.ErrIdle)
	})
}

func TestG6BytesOfAnUnfinishedMessageAreProgress(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{IdleTimeout: time.Minute}, nil)
		nc := v.dial(t)
		for range 10 {
			time.Sleep(59 * time.Second)
			write(t, nc, "x")
			wantOpen(t, r)
		}
		v.wantEndAt(t, r, 10*59*time.Second+time.Minute, getty.ErrIdle)
		if len(r.messages) > 0 {
			t.Errorf("message %q is unfinished", <-r.messages)
		}
	})
}

func TestG6WhatThePeerTakesIsProgress(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{IdleTimeout: time.Minute}, nil)
		v.tape(v.dial(t))
		s := receive(t, r.opened, "OnOpen")
		for range 10 {
			time.Sleep(59 * time.Second)
			must(t, s.Send("x"))
			wantOpen(t, r)
		}
		v.wantEndAt(t, r, 10*59*time.Second+time.Minute, getty.ErrIdle)
	})
}

func TestG6WhatThePeerDoesNotTakeIsNoProgress(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		v.SetFaults(gettytest.Faults{Buffer: 4 << 10})
		r := record()
		v.serve(t, r, getty.Config{IdleTimeout: time.Minute, WriteTimeout: time.Hour}, nil)
		v.dial(t)
		s := receive(t, r.opened, "OnOpen")
		time.Sleep(30 * time.Second)
		must(t, s.Send(strings.Repeat("x", 64<<10)))
		synctest.Wait()
		time.Sleep(29 * time.Second)
		must(t, s.Send("y")) // accepted, and stuck behind the other
		v.wantEndAt(t, r, 60*time.Second, getty.ErrIdle)
	})
}

func TestG6TheTimeOfACallbackIsNotIdle(t *testing.T) {
	for _, workers := range []int{0, 1} {
		inVirtualTime(t, func(t *testing.T, v *virtual) {
			r := record()
			r.onMessage = func(*session, string) error {
				time.Sleep(150 * time.Second)
				return nil
			}
			v.serve(t, r, getty.Config{IdleTimeout: time.Minute, Workers: workers}, nil)
			write(t, v.dial(t), "x\n")
			v.wantEndAt(t, r, (150+60)*time.Second, getty.ErrIdle)
		})
	}
}

func TestG6WaitingForAWorkerIsNotIdle(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		r.onMessage = func(s *session, _ string) error {
			time.Sleep(150 * time.Second)
			return nil
		}
		v.serve(t, r, getty.Config{IdleTimeout: time.Minute, Workers: 1}, nil)
		first, second := v.dial(t), v.dial(t)
		write(t, first, "1\n")
		synctest.Wait()
		write(t, second, "2\n")
		time.Sleep(200 * time.Second)
		synctest.Wait()
		if len(r.messages) != 2 || len(r.closed) != 0 {
			t.Fatalf("%d messages were handled and %d sessions ended, want 2 and 0", len(r.messages), len(r.closed))
		}
	})
}

func TestD54AnUnfinishedMessageHasItsTime(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{MessageTimeout: time.Minute}, nil)
		nc := v.dial(t)
		time.Sleep(time.Hour) // no message, no limit
		wantOpen(t, r)
		write(t, nc, "whole\npart")
		time.Sleep(59 * time.Second)
		write(t, nc, "ial\nnext") // in time; the next one's time begins
		start := v.since()
		for range 5 {
			time.Sleep(10 * time.Second)
			write(t, nc, ".") // a little more does not help
		}
		v.wantEndAt(t, r, start+time.Minute, getty.ErrMessageTimeout)
		if len(r.messages) != 2 {
			t.Errorf("%d messages, want 2", len(r.messages))
		}
	})
}

func TestD54TheTimeOfACallbackIsNotTheUnfinishedMessages(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		r.onMessage = func(*session, string) error {
			time.Sleep(150 * time.Second)
			return nil
		}
		v.serve(t, r, getty.Config{MessageTimeout: time.Minute}, nil)
		write(t, v.dial(t), "whole\npart")
		v.wantEndAt(t, r, (150+60)*time.Second, getty.ErrMessageTimeout)
	})
}

// beat is the keepalive of the tests.
func beat(misses int) getty.Config {
	return getty.Config{Keepalive: getty.Keepalive{
		Interval: time.Second, Misses: misses, Frame: []byte("beat\n"),
	}}
}

func TestKeepaliveEndsASilentSession(t *testing.T) {
	for misses, beats := range map[int]int{0: getty.DefaultKeepaliveMisses, 1: 1, 5: 5} {
		inVirtualTime(t, func(t *testing.T, v *virtual) {
			r := record()
			v.serve(t, r, beat(misses), nil)
			tp := v.tape(v.dial(t))
			v.wantEndAt(t, r, time.Duration(1+beats)*time.Second, getty.ErrKeepalive)
			if got, want := tp.text(), strings.Repeat("beat\n", beats); got != want {
				t.Errorf("peer got %q, want %q", got, want)
			}
			for i, at := range tp.times() {
				if want := time.Duration(i+1) * time.Second; i < beats && at != want {
					t.Errorf("keepalive %d came at %v, want %v", i+1, at, want)
				}
			}
		})
	}
}

func TestKeepaliveThatIsAnsweredGoesOn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, beat(1), nil)
		nc := v.dial(t)
		b := make([]byte, len("beat\n"))
		for range 100 {
			_, err := io.ReadFull(nc, b)
			must(t, err)
			time.Sleep(999 * time.Millisecond)
			write(t, nc, "."+strings.Repeat("\n", int(b[0]&1))) // an answer of any kind
		}
		wantOpen(t, r)
		if want := 100 * 1999 * time.Millisecond; v.since() != want {
			t.Errorf("100 keepalives took %v, want %v", v.since(), want)
		}
	})
}

func TestKeepaliveIsNotSentToAPeerThatSpeaks(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, beat(1), nil)
		nc := v.dial(t)
		tp := v.tape(nc)
		for range 100 {
			time.Sleep(999 * time.Millisecond)
			write(t, nc, "x\n")
		}
		wantOpen(t, r)
		if got := tp.text(); got != "" {
			t.Errorf("peer got %q", got)
		}
	})
}

func TestKeepaliveCountsWhatIsReceivedOnly(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, beat(1), nil)
		v.tape(v.dial(t))
		s := receive(t, r.opened, "OnOpen")
		for range 19 {
			time.Sleep(100 * time.Millisecond)
			must(t, s.Send("x"))
		}
		v.wantEndAt(t, r, 2*time.Second, getty.ErrKeepalive)
	})
}

func TestKeepaliveDoesNotCountACallbacksTime(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		r.onMessage = func(*session, string) error {
			time.Sleep(9500 * time.Millisecond)
			return nil
		}
		v.serve(t, r, beat(2), nil)
		nc := v.dial(t)
		v.tape(nc)
		write(t, nc, "x\n")
		v.wantEndAt(t, r, (9500+3000)*time.Millisecond, getty.ErrKeepalive)
	})
}

func TestKeepaliveWithoutAFrameExpectsThePeerToSpeak(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		cfg := beat(2)
		cfg.Keepalive.Frame = nil
		v.serve(t, r, cfg, nil)
		nc := v.dial(t)
		tp := v.tape(nc)
		time.Sleep(2500 * time.Millisecond)
		write(t, nc, "x\n")
		v.wantEndAt(t, r, 5500*time.Millisecond, getty.ErrKeepalive)
		if got := tp.text(); got != "" {
			t.Errorf("peer got %q", got)
		}
	})
}

func TestSetKeepaliveEncodesWithTheSessionsCodec(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{}, func(s *session, u *setup) error {
			u.Codec = codec.Line{CRLF: true}
			u.Keepalive.Interval = time.Second
			if err := u.SetKeepalive("two\nlines"); err == nil {
				t.Error("a keepalive that cannot be encoded was taken")
			}
			return u.SetKeepalive("beat")
		})
		tp := v.tape(v.dial(t))
		v.wantEndAt(t, r, 3*time.Second, getty.ErrKeepalive)
		if got := tp.text(); got != "beat\r\nbeat\r\n" {
			t.Errorf("peer got %q", got)
		}
	})
}

func TestTheFirstOfSeveralLimitsCounts(t *testing.T) {
	cfg := beat(100)
	cfg.CronPeriod = 400 * time.Millisecond
	cfg.IdleTimeout = 700 * time.Millisecond
	cfg.MessageTimeout = 600 * time.Millisecond
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, cfg, nil)
		nc := v.dial(t)
		time.Sleep(500 * time.Millisecond)
		write(t, nc, "part")
		v.wantEndAt(t, r, 1100*time.Millisecond, getty.ErrMessageTimeout)
		if len(r.crons) != 2 {
			t.Errorf("OnCron ran %d times, want 2", len(r.crons))
		}
	})
}

// calls counts what is done with a conn.
type calls struct {
	net.Conn
	n *atomic.Int64
}

func (c calls) Read(p []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Read(p)
}

func (c calls) Write(p []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(p)
}

func (c calls) SetDeadline(d time.Time) error {
	c.n.Add(1)
	return c.Conn.SetDeadline(d)
}

func (c calls) SetReadDeadline(d time.Time) error {
	c.n.Add(1)
	return c.Conn.SetReadDeadline(d)
}

func (c calls) SetWriteDeadline(d time.Time) error {
	c.n.Add(1)
	return c.Conn.SetWriteDeadline(d)
}

func (c calls) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// A year of 100 sessions at rest: a timer with a period of a second, in each or
// for all, would run 30 million times at least.
func TestD48AnIdleSessionCostsNothing(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		var n atomic.Int64
		v.wrap = func(nc net.Conn) net.Conn { return calls{nc, &n} }
		v.serve(t, echo, getty.Config{}, nil)
		for range 100 {
			ask(t, v.dial(t), "hello") // it was busy once
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		before, calls := mallocs(), n.Load()
		time.Sleep(365 * 24 * time.Hour)
		synctest.Wait()
		if got := mallocs() - before; got > 100 {
			t.Errorf("%d allocations in a year without a message", got)
		}
		if got := n.Load() - calls; got != 0 {
			t.Errorf("%d calls of idle conns in a year", got)
		}
	})
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
