// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"runtime"
	"runtime/metrics"
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

// slowly reads at most 500 bytes in 10 ms.
type slowly struct{ net.Conn }

func (c slowly) Read(p []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return c.Conn.Read(p[:min(len(p), 500)])
}

// A keepalive waits behind nobody: a peer that reads, and answers, is not ended
// because others always send.
func TestKeepaliveOfACrowdedSession(t *testing.T) {
	for _, policy := range []getty.Policy{getty.PolicyBlock, getty.PolicyDrop} {
		inVirtualTime(t, func(t *testing.T, v *virtual) {
			v.Network = gettytest.NewNetwork(gettytest.Faults{Buffer: 4 << 10})
			r, cfg := record(), beat(2)
			if v.ws {
				cfg.Keepalive.Frame = nil // it pings
			}
			cfg.HighWatermark, cfg.LowWatermark, cfg.Backpressure = 16<<10, 8<<10, policy
			v.serve(t, r, cfg, nil)
			nc := v.dial(t)
			s := receive(t, r.opened, "OnOpen")
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					for s.Send(strings.Repeat("x", 200)) == nil {
						if policy == getty.PolicyDrop {
							time.Sleep(time.Millisecond)
						}
					}
				})
			}
			all.Go(func() {
				if v.ws {
					answerPings(nc.(*wsRaw))
					return
				}
				for lines := bufio.NewScanner(slowly{nc}); lines.Scan(); {
					if lines.Text() == "beat" {
						_, _ = io.WriteString(nc, "alive\n")
					}
				}
			})
			time.Sleep(time.Minute)
			wantOpen(t, r)
			s.CloseWithCause(nil)
			_ = nc.Close()
			all.Wait()
		})
	}
}

// answerPings reads frames slowly.
func answerPings(w *wsRaw) {
	w.br = bufio.NewReader(slowly{w.Conn})
	for {
		f, err := w.readFrame()
		if err != nil {
			return
		}
		if f.op == 9 {
			if _, err := w.Conn.Write(pong(f.payload).bytes(true)); err != nil {
				return
			}
		}
	}
}

func TestKeepaliveWithoutAFrameExpectsThePeerToSpeak(t *testing.T) {
	inVirtualStream(t, func(t *testing.T, v *virtual) {
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

// The same on sockets, where nobody can tell the clock to hurry: in a moment a
// timer in each session would wake hundreds of goroutines.
func TestD48AnIdleSocketWakesNobody(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		for range 50 {
			ask(t, peer(t, url), "hello") // it was busy once
		}
		runtime.GC()
		time.Sleep(50 * time.Millisecond) // what the last messages have left is done
		before, woken := mallocs(), wakeUps()
		time.Sleep(200 * time.Millisecond)
		if got := wakeUps() - woken; got > 20 {
			t.Errorf("%d wake-ups without a message", got)
		}
		if got := mallocs() - before; got > 100 {
			t.Errorf("%d allocations without a message", got)
		}
	})
}

// wakeUps is how often goroutines have begun to run, as far as the runtime
// counts it: each one's every eighth time.
func wakeUps() (n uint64) {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	for _, count := range sample[0].Value.Float64Histogram().Counts {
		n += count
	}
	return n
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
