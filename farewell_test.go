// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/gettytest"
)

// The order of Shutdown: readiness, listeners, farewell, close.
func TestShutdownFailsReadinessFirst(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		srv := v.serve(t, r, getty.Config{DrainDelay: 3 * time.Second}, nil)
		v.dial(t)
		if !srv.Ready() {
			t.Error("it is not ready")
		}
		begin, down := v.since(), make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if srv.Ready() {
			t.Error("it is ready while it waits to shut down")
		}
		late := v.dial(t)
		write(t, late, "still here\n")
		receive(t, r.messages, "message")
		wantOpen(t, r)
		time.Sleep(begin + 3*time.Second - v.since())
		synctest.Wait()
		if _, err := v.Dial(t.Context(), "tcp", "server:1"); err == nil {
			t.Error("it accepts after the delay")
		}
		must(t, receive(t, down, "return of Shutdown"))
		for range 2 {
			wantCause(t, receive(t, r.closed, "OnClose"), getty.ErrShutdown)
		}
	})
}

// A second Shutdown, as beside a ListenAndServe whose context has ended, ends the
// delay only with its own context.
func TestShutdownTwiceKeepsTheDelay(t *testing.T) {
	for name, patience := range map[string]time.Duration{"patient": time.Hour, "hasty": time.Second} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, v *virtual) {
				const delay = 5 * time.Second
				srv := v.serve(t, record(), getty.Config{DrainDelay: delay}, nil)
				begin, down := v.since(), make(chan error, 2)
				go func() { down <- srv.Shutdown(t.Context()) }()
				time.Sleep(time.Second)
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					down <- srv.Shutdown(ctx)
				}()
				want := begin + min(delay, time.Second+patience)
				time.Sleep(want - v.since() - time.Millisecond)
				synctest.Wait()
				nc, err := v.Dial(t.Context(), "tcp", "server:1")
				must(t, err)
				must(t, nc.Close())
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				if _, err := v.Dial(t.Context(), "tcp", "server:1"); err == nil {
					t.Error("it accepts after the delay")
				}
				_, _ = <-down, <-down
			})
		})
	}
}

func TestCloseEndsTheDelay(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		srv := v.serve(t, record(), getty.Config{DrainDelay: time.Hour}, nil)
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		synctest.Wait()
		begin := v.since()
		must(t, srv.Close())
		must(t, receive(t, down, "return of Shutdown"))
		if v.since() != begin {
			t.Errorf("it took %v", v.since()-begin)
		}
	})
}

// waving has a server say "bye" to each session.
func waving(v *virtual, t *testing.T, r *recorder, cfg getty.Config, farewell func(*session)) *getty.Server[string] {
	t.Helper()
	v.farewell = farewell
	return v.serve(t, r, cfg, nil)
}

// Told sessions go on, both ways, until the grace is over.
func TestFarewellComesBeforeTheEnd(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r, told := record(), atomic.Int64{}
		r.onMessage = func(s *session, m string) error { return s.Send(m) }
		srv := waving(v, t, r, getty.Config{GracePeriod: 10 * time.Second}, func(s *session) {
			told.Add(1)
			if err := s.Send("bye"); err != nil {
				t.Error(err)
			}
		})
		nc := v.dial(t)
		v.dial(t)
		tp := v.tape(nc)
		begin, down := v.since(), make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		synctest.Wait()
		time.Sleep(time.Second)
		write(t, nc, "one more\n")
		if got := tp.text(); got != "bye\none more\n" {
			t.Errorf("the peer got %q", got)
		}
		must(t, nc.Close())
		synctest.Wait()
		if len(r.closed) != 1 {
			t.Fatalf("%d sessions are closed, want the one whose peer left", len(r.closed))
		}
		_ = receive(t, r.closed, "OnClose")
		const closeTimeout = time.Second // the other peer does not close by itself
		v.wantEndAt(t, r, begin+10*time.Second+closeTimeout, getty.ErrShutdown)
		must(t, receive(t, down, "return of Shutdown"))
		if n := told.Load(); n != 2 {
			t.Errorf("Farewell was called %d times for 2 sessions", n)
		}
	})
}

// With nobody left the grace is over.
func TestFarewellEndsWithTheLastSession(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		srv := waving(v, t, record(), getty.Config{GracePeriod: time.Hour}, func(s *session) { _ = s.Close() })
		for range 5 {
			nc := v.dial(t)
			go func() { _, _ = nc.Read(make([]byte, 100)); _ = nc.Close() }()
		}
		begin := v.since()
		must(t, srv.Shutdown(t.Context()))
		if took := v.since() - begin; took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A session that is being opened meanwhile is told as well; one whose Farewell
// fails ends alone; the deadline holds.
func TestFarewellOfOddSessions(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		for name, farewell := range map[string]func(*session){
			"panic": func(*session) { panic("farewell") },
			"exit":  func(*session) { runtime.Goexit() },
		} {
			v.Network = newNetwork()
			r, first := record(), atomic.Bool{}
			srv := waving(v, t, r, getty.Config{GracePeriod: time.Second}, func(s *session) {
				if first.CompareAndSwap(false, true) {
					farewell(s)
				}
			})
			v.dial(t)
			v.dial(t)
			must(t, srv.Shutdown(t.Context()))
			one, two := receive(t, r.closed, "OnClose"), receive(t, r.closed, "OnClose")
			if (one == nil) == (two == nil) && errors.Is(one, getty.ErrShutdown) == errors.Is(two, getty.ErrShutdown) {
				t.Errorf("%s: the causes are %v and %v, want one of them to be the shutdown", name, one, two)
			}
		}
		v.Network = newNetwork()
		r, opening := record(), make(chan struct{})
		r.onOpen = func(*session) error { <-opening; return nil }
		told := make(chan struct{}, 1)
		srv := waving(v, t, r, getty.Config{GracePeriod: time.Minute}, func(s *session) {
			told <- struct{}{}
			_ = s.Close()
		})
		v.dial(t)
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		time.Sleep(2 * time.Second)
		close(opening)
		receive(t, told, "Farewell")
		must(t, receive(t, down, "return of Shutdown"))

		v.Network = newNetwork()
		srv = waving(v, t, record(), getty.Config{GracePeriod: time.Hour}, func(*session) {})
		v.dial(t)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := v.since()
		const closeTimeout = time.Second
		if err := srv.Shutdown(ctx); err != nil || v.since()-begin != 3*time.Second/2+closeTimeout {
			t.Errorf("Shutdown returned %v after %v, want half of its time for closing", err, v.since()-begin)
		}
	})
}

// What was accepted is flushed within DrainTimeout, whatever came before.
func TestDrainTimeoutIsForTheFlush(t *testing.T) {
	const size = 512 << 10
	for name, farewell := range map[string]func(*session){"at once": nil, "farewell": func(*session) {}} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, v *virtual) {
				v.SetFaults(gettytest.Faults{Buffer: 4 << 10})
				r := record()
				srv := waving(v, t, r, getty.Config{
					DrainDelay: time.Hour, GracePeriod: time.Hour, DrainTimeout: time.Second, WriteTimeout: 24 * time.Hour,
				}, farewell)
				nc := v.dial(t)
				must(t, receive(t, r.opened, "OnOpen").Send(strings.Repeat("x", size)))
				ctx, cancel := context.WithCancel(t.Context())
				down := make(chan error, 1)
				go func() { down <- srv.ListenAndServe(ctx) }()
				cancel()
				time.Sleep(time.Hour + time.Second/2)
				if farewell != nil {
					time.Sleep(time.Hour)
				}
				tp := v.tape(nc)
				if got := strings.Count(tp.text(), "x"); got != size {
					t.Errorf("the peer got %d bytes, want %d", got, size)
				}
				must(t, nc.Close())
				must(t, receive(t, down, "return of ListenAndServe"))
			})
		})
	}
}

// One that does not return is named when the time is over.
func TestShutdownNamesFarewell(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		leave := make(chan struct{})
		srv := waving(v, t, record(), getty.Config{GracePeriod: time.Second}, func(*session) { <-leave })
		_ = v.dial(t).Close()
		v.dial(t)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := srv.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "1 calls of Farewell run, 0 sessions left") {
			t.Errorf("Shutdown returned %v", err)
		}
		close(leave)
	})
}

// Sessions with a server that restarts come back one by one, not all at once,
// whether they are of one client or of many.
func TestClientsSpreadTheirReconnects(t *testing.T) {
	for _, size := range []int{1, 40} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { trySpread(t, 40/size, size) })
		})
	}
}

func trySpread(t *testing.T, clients, size int) {
	v := &virtual{Network: newNetwork(), ws: true, start: time.Now()}
	srv := v.serve(t, record(), getty.Config{}, nil)
	var mu sync.Mutex
	var dials []time.Duration
	for range clients {
		cfg := getty.ClientConfig{PoolSize: size, Spread: 10 * time.Second, StablePeriod: time.Millisecond}
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			dials = append(dials, v.since())
			mu.Unlock()
			return v.Dial(ctx, network, address)
		}
		connected(t, "ws://server:1/", record(), cfg)
	}
	time.Sleep(time.Second)
	begin := v.since()
	must(t, srv.Shutdown(t.Context()))
	v.serve(t, record(), getty.Config{}, nil)
	time.Sleep(20 * time.Second)
	synctest.Wait()
	mu.Lock()
	defer mu.Unlock()
	back, early, together := dials[clients*size:], 0, 0
	for i, at := range back {
		if at-begin > 11*time.Second {
			t.Errorf("a session comes back after %v", at-begin)
		} else if at-begin < 5*time.Second {
			early++
		}
		if i > 0 && at == back[i-1] {
			together++
		}
	}
	all := clients * size
	if len(back) != all || early < all/8 || early > all-all/8 || together > 0 {
		t.Errorf("%d sessions came back, %d of them in the first half of the time, %d in step with another", len(back), early, together)
	}
}

// While they come back each attempt may be a round of its own. Those that had
// begun when one failed are no more failures.
func TestSpreadAttemptsFailTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 10
		v := &virtual{Network: newNetwork(), ws: true, start: time.Now()}
		srv := v.serve(t, record(), getty.Config{}, nil)
		var gone atomic.Bool
		cfg := getty.ClientConfig{PoolSize: size, Spread: time.Second, StablePeriod: time.Millisecond, DialTimeout: 2 * time.Second}
		cfg.Backoff.Min, cfg.Backoff.Max = time.Hour, time.Hour
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if gone.Load() { // nobody answers
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return v.Dial(ctx, network, address)
		}
		c := connected(t, "ws://server:1/", record(), cfg)
		time.Sleep(time.Second)
		gone.Store(true)
		must(t, srv.Shutdown(t.Context()))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if st, n := c.State(), c.Stats().DialFailures; st.Failures != 1 || n != size {
			t.Errorf("%d attempts failed, which counts as %d failures, want %d and 1", n, st.Failures, size)
		}
	})
}

// The cause may come from the listener, too.
func TestErrRestartSpreads(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		v.serve(t, record(), getty.Config{}, nil)
		r := record()
		url := map[bool]string{false: "tcp://server:1", true: "ws://server:1/"}[v.ws]
		if v.tls {
			t.Skip("nothing of it depends on TLS")
		}
		c := connected(t, url, r, getty.ClientConfig{Spread: time.Hour, StablePeriod: time.Millisecond, Dial: v.Dial})
		s, err := c.Session(t.Context())
		must(t, err)
		time.Sleep(time.Second)
		s.CloseWithCause(getty.ErrRestart)
		time.Sleep(time.Second)
		synctest.Wait()
		if st := c.State(); st.Live != 0 || st.Failures != 0 {
			t.Errorf("the state is %+v after a second", st)
		}
		must(t, c.Connect(t.Context()))
		if v.since() > time.Hour+3*time.Second {
			t.Errorf("it took %v", v.since())
		}
	})
}

// A retired session serves until there is another, and is not replaced twice.
// A session that has ended is not retired: its slot is given back after its OnClose.
func TestRetireOfAnEndedSession(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		var c *getty.Client[string]
		retired := make(chan string, 2)
		say := func(where string, did bool) {
			if did {
				retired <- where
			}
		}
		cfg := quick(2)
		cfg.Spread = time.Millisecond
		c = pooled(t, url, funcs{Close: func(s *session, _ error) { say("OnClose", c.Retire(s)) }}, cfg)
		c.Reconnect = func(s *session, _ error) bool {
			for range 3 {
				say("Reconnect", c.Retire(s))
				runtime.Gosched()
			}
			return true
		}
		must(t, c.Connect(within(t)))
		for range 20 {
			s, err := c.Session(within(t))
			must(t, err)
			go c.Retire(s)
			must(t, s.Close())
		}
		select {
		case where := <-retired:
			t.Errorf("retired in %s", where)
		default:
		}
		must(t, c.Connect(within(t)))
		if st := c.State(); st.Live != 2 {
			t.Errorf("the pool is %+v", st)
		}
	})
}

// While nothing else is there, all that are retired take their turns.
func TestRetiredSessionsTakeTurns(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const size = 3
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		cfg := quick(size)
		cfg.Spread = time.Hour
		c := pooled(t, url, record(), cfg)
		must(t, c.Connect(within(t)))
		retired := slices.Collect(c.Sessions())
		for _, s := range retired {
			c.Retire(s)
		}
		seen := make(map[*session]int)
		for range 2 * size {
			s, err := c.Session(within(t))
			must(t, err)
			seen[s]++
		}
		for _, s := range retired {
			if seen[s] != 2 {
				t.Errorf("they were used %v times, want twice each", slices.Collect(maps.Values(seen)))
			}
		}
	})
}

func TestRetire(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		if v.tls {
			t.Skip("nothing of it depends on TLS")
		}
		r := record()
		v.serve(t, r, getty.Config{}, nil)
		url := map[bool]string{false: "tcp://server:1", true: "ws://server:1/"}[v.ws]
		cr := record()
		c := connected(t, url, cr, getty.ClientConfig{Spread: 10 * time.Second, Dial: v.Dial})
		old, err := c.Session(t.Context())
		must(t, err)
		if !c.Retire(old) || c.Retire(old) {
			t.Error("it is retired once")
		}
		for i := 0; ; i++ {
			must(t, c.Send(t.Context(), strconv.Itoa(i)))
			s, err := c.Session(t.Context())
			must(t, err)
			if s != old {
				break
			}
			if v.since() > 11*time.Second {
				t.Fatal("it is not replaced")
			}
			time.Sleep(100 * time.Millisecond)
		}
		must(t, old.Send("last"))
		must(t, old.Close())
		time.Sleep(time.Minute)
		synctest.Wait()
		st, stats := c.State(), c.Stats()
		if st.Live != 1 || st.Failures != 0 || stats.Dials != 2 || stats.Reconnects != 1 {
			t.Errorf("the state is %+v, the statistics are %+v", st, stats)
		}
		if len(cr.closed) != 1 {
			t.Errorf("%d sessions are closed, want the retired one", len(cr.closed))
		}
		other := connected(t, url, record(), getty.ClientConfig{Dial: v.Dial})
		foreign, err := other.Session(t.Context())
		must(t, err)
		if c.Retire(foreign) || c.Retire(old) {
			t.Error("sessions are retired that are none of the pool's")
		}
	})
}

// A restart that is told of while the client pauses after a failure spreads, too.
func TestSpreadThatBeginsInAPause(t *testing.T) {
	for name, restart := range map[string]func(*getty.Client[string], *session){
		"Retire":     func(c *getty.Client[string], s *session) { c.Retire(s) },
		"ErrRestart": func(_ *getty.Client[string], s *session) { s.CloseWithCause(getty.ErrRestart) },
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, v *virtual) {
				if v.tls {
					t.Skip("nothing of it depends on TLS")
				}
				url := map[bool]string{false: "tcp://server:1", true: "ws://server:1/"}[v.ws]
				v.serve(t, record(), getty.Config{}, nil)
				early := 0
				for range 20 {
					var failing atomic.Bool
					cfg := getty.ClientConfig{PoolSize: 2, Spread: time.Hour, StablePeriod: time.Millisecond}
					cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
						if failing.Load() {
							return nil, errNoService
						}
						return v.Dial(ctx, network, address)
					}
					r := record()
					c := connected(t, url, r, cfg)
					one, two := receive(t, r.opened, "OnOpen"), receive(t, r.opened, "OnOpen")
					time.Sleep(time.Second)
					failing.Store(true)
					must(t, one.Close())
					time.Sleep(1020 * time.Millisecond) // its place is dialed for in vain by now
					failing.Store(false)
					if st := c.State(); st.Failures == 0 || st.Dialing != 0 {
						t.Fatalf("the state is %+v, want a pause", st)
					}
					restart(c, two)
					time.Sleep(5 * time.Second)
					if c.State().Live == 2 {
						early++
					}
					time.Sleep(time.Hour)
					if st := c.State(); st.Live != 2 {
						t.Errorf("the state is %+v after all of Spread", st)
					}
				}
				if early > 2 {
					t.Errorf("%d of 20 clients came back within 5 s of an hour", early)
				}
			})
		})
	}
}
