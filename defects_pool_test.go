// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// D01: it took 4.4 s, or never came.
func TestD01DeathIsReportedWhileTheServerIsAway(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		h := hold(t, tr)
		to, r := routeTo(h.url), record()
		cfg := getty.ClientConfig{Dial: to.dial, DialTimeout: time.Hour}
		c := connected(t, h.url, r, cfg)
		to.hang()
		h.drop(receive(t, h.conns, "connection"))
		if cause := receive(t, r.closed, "OnClose"); !errors.Is(cause, io.EOF) {
			t.Fatalf("the cause is %v", cause)
		}
		receive(t, to.hanging, "attempt to reconnect")
		if st := c.State(); st.Live != 0 || st.Dialing != 1 || !errors.Is(st.LastError, io.EOF) {
			t.Fatalf("the pool is %+v", st)
		}
	})
}

// D02: Close is called from outside, from OnMessage and from OnCron while every
// attempt to reconnect hangs.
func TestD02CloseNeverWaitsForAReconnect(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		h := hold(t, tr)
		to, closed := routeTo(h.url), make(chan error, 4)
		var fromCron atomic.Pointer[session]
		events := funcs{
			Message: func(s *session, _ string) error { return s.Close() },
			Cron: func(s *session) {
				if s == fromCron.Load() {
					_ = s.Close()
				}
			},
			Close: func(_ *session, cause error) { closed <- cause },
		}
		cfg := quick(4)
		cfg.Dial, cfg.DialTimeout, cfg.CronPeriod = to.dial, time.Hour, time.Millisecond
		c := connected(t, h.url, events, cfg)

		to.hang()
		h.drop(receive(t, h.conns, "connection"))
		receive(t, closed, "OnClose")
		receive(t, to.hanging, "attempt to reconnect")

		_, err := io.WriteString(receive(t, h.conns, "connection"), "bye\n")
		must(t, err)
		if cause := receive(t, closed, "OnClose after Close in OnMessage"); cause != nil {
			t.Fatalf("the cause is %v", cause)
		}
		s, err := c.Session(within(t))
		must(t, err)
		must(t, s.Close())
		if cause := receive(t, closed, "OnClose after Close"); cause != nil {
			t.Fatalf("the cause is %v", cause)
		}
		s, err = c.Session(within(t))
		must(t, err)
		fromCron.Store(s)
		if cause := receive(t, closed, "OnClose after Close in OnCron"); cause != nil {
			t.Fatalf("the cause is %v", cause)
		}
	})
}

// D15, with real sockets: the limit ends the attempts, and Connect begins anew.
func TestD15LimitOfFailures(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		h := hold(t, tr)
		gaveUp, to := make(chan error, 4), routeTo(tr.url(t)+"1") // where nobody listens
		cfg := quick(2)
		cfg.MaxFailures, cfg.Dial = 3, to.dial
		cfg.OnGiveUp = func(err error) { gaveUp <- err }
		c := pooled(t, h.url, record(), cfg)
		if err := c.Connect(within(t)); !errors.Is(err, getty.ErrGaveUp) {
			t.Fatalf("the error is %v", err)
		}
		var refused *net.OpError
		if err := receive(t, gaveUp, "OnGiveUp"); !errors.As(err, &refused) {
			t.Fatalf("OnGiveUp got %v, want the last failure inside", err)
		}
		to.to(h.url)
		if _, err := c.Session(within(t)); !errors.Is(err, getty.ErrGaveUp) {
			t.Fatalf("the error is %v", err)
		}
		must(t, c.Connect(within(t)))
		if st := c.State(); st.Live != 2 || st.GaveUp || len(gaveUp) != 0 {
			t.Fatalf("the pool is %+v", st)
		}
	})
}

// D16: each session is closed by the server as soon as it is open.
func TestD16AcceptThenCloseIsAFailure(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const rounds = 4
		h := hold(t, tr)
		gaveUp := make(chan error, 4)
		c := pooled(t, h.url, record(), getty.ClientConfig{
			MaxFailures: rounds, StablePeriod: time.Hour,
			Backoff:  getty.Backoff{Min: time.Millisecond, Max: time.Millisecond},
			OnGiveUp: func(err error) { gaveUp <- err },
		})
		go func() { _ = c.Connect(context.Background()) }()
		for range rounds {
			h.drop(receive(t, h.conns, "connection"))
		}
		if err := receive(t, gaveUp, "OnGiveUp"); !errors.Is(err, io.EOF) {
			t.Fatalf("OnGiveUp got %v", err)
		}
		if st := c.Stats(); st.Dials != rounds || st.DialFailures != 0 {
			t.Fatalf("the statistics are %+v", st)
		}
	})
}

// D19: OnOpen fails.
func TestD19FailingOnOpenIsAFailure(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const rounds = 3
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		r, refusal := record(), errors.New("not this one")
		r.onOpen = func(*session) error { return refusal }
		cfg := quick(1)
		cfg.MaxFailures = rounds
		c := pooled(t, url, r, cfg)
		if err := c.Connect(within(t)); !errors.Is(err, getty.ErrGaveUp) || !errors.Is(err, refusal) {
			t.Fatalf("the error is %v", err)
		}
		for range rounds {
			if cause := receive(t, r.closed, "OnClose"); !errors.Is(cause, refusal) {
				t.Fatalf("the cause is %v", cause)
			}
		}
		reaches(t, rounds, "the number of failed dials", func() int64 { return c.Stats().DialFailures })
		if st := c.Stats(); st.Dials != rounds || st.Opened != rounds {
			t.Fatalf("the statistics are %+v", st)
		}
	})
}

// D17: a server is restarted, gracefully and not.
func TestD17PoolSurvivesARestart(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const size = 4
		for name, end := range map[string]func(*getty.Server[string]) error{
			"Shutdown": func(srv *getty.Server[string]) error { return srv.Shutdown(within(t)) },
			"Close":    (*getty.Server[string]).Close,
		} {
			t.Run(name, func(t *testing.T) {
				srv, url := serve(t, tr, echo, getty.Config{}, nil)
				to, r := routeTo(url), record()
				cfg := quick(size)
				cfg.Dial = to.dial
				c := connected(t, url, r, cfg)
				must(t, end(srv))
				for range size {
					receive(t, r.closed, "OnClose")
				}
				_, url = serve(t, tr, echo, getty.Config{}, nil)
				to.to(url)
				must(t, c.Connect(within(t)))
				if st := c.State(); st.Live != size || st.Retired != 0 {
					t.Fatalf("after the restart the pool is %+v", st)
				}
				must(t, c.Send(within(t), "hello"))
				receive(t, r.messages, "answer")
			})
		}
	})
}

// D17: what the peer's clean close means is the user's choice.
func TestD17ReconnectMayStopOnEOF(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const size = 4
		h := hold(t, tr)
		c := pooled(t, h.url, record(), quick(size))
		asked := make(chan error, size)
		c.Reconnect = func(_ *session, cause error) bool {
			asked <- cause
			return !errors.Is(cause, io.EOF)
		}
		must(t, c.Connect(within(t)))
		for range size {
			h.drop(receive(t, h.conns, "connection"))
		}
		for range size {
			if cause := receive(t, asked, "question"); !errors.Is(cause, io.EOF) {
				t.Fatalf("Reconnect was asked about %v", cause)
			}
		}
		reaches(t, size, "the number of declined slots", func() int { return c.State().Retired })
		if st := c.Stats(); st.Dials != size {
			t.Fatalf("%d dials", st.Dials)
		}
		// Nothing will come, so nothing is waited for.
		if err := c.Send(within(t), "to nobody"); !errors.Is(err, io.EOF) || !getty.SafeToRetry(err) {
			t.Fatalf("Send: %v", err)
		}
		must(t, c.Connect(within(t)))
		if st := c.State(); st.Live != size || st.Retired != 0 {
			t.Fatalf("after Connect the pool is %+v", st)
		}
	})
}

// D17: one session is left out, by a value of its own.
func TestD17ReconnectMayGoByTheSession(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		type oneShot struct{}
		const size = 3
		h := hold(t, tr)
		r := record()
		r.onOpen = func(s *session) error {
			if s.ID() == 2 {
				s.SetValue(oneShot{}, true)
			}
			return nil
		}
		c := pooled(t, h.url, r, quick(size))
		c.Reconnect = func(s *session, _ error) bool { return s.Value(oneShot{}) == nil }
		must(t, c.Connect(within(t)))
		var first []net.Conn
		for range size {
			first = append(first, receive(t, h.conns, "connection"))
		}
		for _, nc := range first {
			h.drop(nc)
		}
		for range size - 1 {
			receive(t, h.conns, "connection in the place of a lost one")
		}
		reaches(t, getty.ClientState{Size: size, Live: size - 1, Retired: 1}, "the pool", func() getty.ClientState {
			st := c.State()
			st.LastError, st.Failures = nil, 0
			return st
		})
		if st := c.Stats(); st.Dials != 2*size-1 {
			t.Fatalf("%d dials, %d of them failed (last: %v)", st.Dials, st.DialFailures, c.State().LastError)
		}
	})
}

// Filling a pool whose slots are declined meanwhile is an error, not a success
// without sessions.
func TestD17ConnectReportsDeclinedSlots(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		r, refusal := record(), errors.New("not this one")
		r.onOpen = func(*session) error { return refusal }
		c := pooled(t, url, r, quick(2))
		c.Reconnect = func(*session, error) bool { return false }
		if err := c.Connect(within(t)); !errors.Is(err, refusal) {
			t.Fatalf("the error is %v", err)
		}
	})
}

// D20: with real sockets, and no time to wait for anything.
func TestD20ShutdownInterruptsPausesAndDials(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		h := hold(t, tr)
		to, r := routeTo(h.url), record()
		cfg := getty.ClientConfig{
			PoolSize: 3, Dial: to.dial, DialTimeout: time.Hour, StablePeriod: time.Hour,
			Backoff: getty.Backoff{Min: time.Millisecond, Max: time.Hour},
			Config:  getty.Config{CloseTimeout: 50 * time.Millisecond},
		}
		c := connected(t, h.url, r, cfg)
		to.hang()
		h.drop(receive(t, h.conns, "connection"))
		receive(t, to.hanging, "attempt to reconnect")
		h.drop(receive(t, h.conns, "connection"))
		receive(t, to.hanging, "attempt to reconnect")
		must(t, c.Shutdown(within(t)))
		if st := c.State(); st.Live != 0 || st.Dialing != 0 {
			t.Fatalf("the pool is %+v", st)
		}
		for range 3 {
			receive(t, r.closed, "OnClose")
		}
	})
}

// D21: a session whose OnClose lasts holds its own slot, and no other.
func TestD21LateOnCloseTakesNobodysSlot(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		h := hold(t, tr)
		var second atomic.Bool
		held, release := make(chan *session, 1), make(chan struct{})
		r := record()
		r.onClose = func(s *session, _ error) {
			if !second.Swap(true) {
				held <- s
				<-release
			}
		}
		c := connected(t, h.url, r, quick(2))
		h.drop(receive(t, h.conns, "connection"))
		old := receive(t, held, "OnClose")

		// The other slot goes on as if nothing were.
		for range 3 {
			h.drop(receive(t, h.conns, "connection"))
			receive(t, r.closed, "OnClose")
			s, err := c.Session(within(t))
			must(t, err)
			must(t, s.Send("x"))
		}
		close(release)
		receive(t, r.closed, "late OnClose")
		must(t, old.Close())
		must(t, c.Connect(within(t)))
		if st := c.State(); st.Live != 2 || st.Dialing != 0 || h.most.Load() > 2 {
			t.Fatalf("the pool is %+v, with at most %d connections", st, h.most.Load())
		}
		for s := range c.Sessions() {
			if s == old {
				t.Fatal("the old session is in the pool")
			}
		}
	})
}
