// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

// As the server sees it: sessions die in bursts while callers press for more.
func TestD18PoolIsNeverOvershot(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const size = 8
		h := hold(t, tr)
		c := connected(t, h.url, record(), quick(size))
		stop := pressing(t, c)
		var live []net.Conn
		for round := range 24 {
			for len(live) < size {
				live = append(live, receive(t, h.conns, "connection"))
			}
			n := 1 + round%size
			for _, nc := range live[:n] {
				h.drop(nc)
			}
			live = live[n:]
		}
		stop()
		if most := h.most.Load(); most > size {
			t.Fatalf("%d connections at once, the pool is one of %d", most, size)
		}
		if open := len(live) + len(h.conns); open > size {
			t.Fatalf("%d connections are left, the pool is one of %d", open, size)
		}
	})
}

// countedConn is a connection of a client that leaves the count when it is closed.
type countedConn struct {
	net.Conn
	left func()
}

func (c *countedConn) Close() error {
	c.left()
	return c.Conn.Close()
}

// As the client sees it: attempts and connections together, when sessions
// are closed on this side too.
func TestD18NoSlotIsDialedTwice(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const size = 6
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		var used, most atomic.Int64
		cfg, to := quick(size), routeTo(url)
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			n := used.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			left := sync.OnceFunc(func() { used.Add(-1) })
			nc, err := to.dial(ctx, network, address)
			if err != nil {
				left()
				return nil, err
			}
			return &countedConn{nc, left}, nil
		}
		r := record()
		c := connected(t, url, r, cfg)
		stop := pressing(t, c)
		for round := range 30 {
			n := 0
			for s := range c.Sessions() {
				if n++; n > 1+round%size {
					break
				}
				must(t, s.Close())
			}
			if n > 0 {
				receive(t, r.closed, "OnClose")
			}
		}
		stop()
		reaches(t, size, "the number of connections", used.Load)
		if most.Load() > size {
			t.Fatalf("%d attempts and connections at once, the pool is one of %d", most.Load(), size)
		}
	})
}

// D14: no attempt returns before all have begun.
func TestD14SlotsAreDialedInParallel(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const size = 16
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		var begun sync.WaitGroup
		begun.Add(size)
		to := routeTo(url)
		cfg := getty.ClientConfig{PoolSize: size, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			begun.Done()
			begun.Wait()
			return to.dial(ctx, network, address)
		}}
		c := connected(t, url, record(), cfg)
		if st := c.State(); st.Live != size || st.Dialing != 0 {
			t.Fatalf("after Connect the pool is %+v", st)
		}
	})
}

// D14: 34 s in its time. Here a fill is a round trip; the limit leaves room
// for a loaded machine.
func TestD14APoolOf16IsFilledAtOnce(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		c := pooled(t, url, record(), getty.ClientConfig{PoolSize: 16})
		start := time.Now()
		must(t, c.Connect(within(t)))
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("the fill took %v", took)
		}
		if st := c.Stats(); st.Dials != 16 || st.Opened != 16 || st.DialFailures != 0 {
			t.Fatalf("the fill took %+v", st)
		}
	})
}

// Slots are dialed side by side: a fill takes as long as one handshake.
func TestD14AFillTakesAsLongAsOneSession(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		if v.tls {
			t.Skip("nothing of it depends on TLS")
		}
		v.Network = gettytest.NewNetwork(gettytest.Faults{Latency: 20 * time.Millisecond})
		v.serve(t, record(), getty.Config{}, nil)
		url := map[bool]string{false: "tcp://server:1", true: "ws://server:1/"}[v.ws]
		fill := func(size int) time.Duration {
			c := pooled(t, url, record(), getty.ClientConfig{PoolSize: size, Dial: v.Dial})
			start := v.since()
			must(t, c.Connect(t.Context()))
			return v.since() - start
		}
		if one, many := fill(1), fill(16); one == 0 || many > one {
			t.Errorf("one session stands after %v, 16 after %v", one, many)
		}
		synctest.Wait()
	})
}

// A full pool needs no goroutine but its sessions'.
func TestG7NothingRunsForAFullPool(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		h := hold(t, tr)
		c := pooled(t, h.url, record(), quick(3))
		if n := poolGoroutines(); n != 0 {
			t.Fatalf("%d goroutines before the first use", n)
		}
		must(t, c.Connect(within(t)))
		reaches(t, 0, "the number of goroutines for a full pool", poolGoroutines)
		for range 3 {
			h.drop(receive(t, h.conns, "connection"))
		}
		for range 3 {
			receive(t, h.conns, "new connection")
		}
		reaches(t, 0, "the number of goroutines for a refilled pool", poolGoroutines)
	})
}

func poolGoroutines() int { return goroutines("getty.(*pool)") }

func TestSessionsAreHandedOutInTurn(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const size, rounds = 5, 4
		h := hold(t, tr)
		cfg := quick(size)
		cfg.CloseTimeout = time.Hour // a closed session stays, draining, as long as its peer does
		r := record()
		c := connected(t, h.url, r, cfg)
		defer c.Close()
		count := func() map[*session]int {
			given := make(map[*session]int)
			for range size * (size - 1) * rounds {
				s, err := c.Session(within(t))
				must(t, err)
				given[s]++
			}
			return given
		}
		given := count()
		for s, n := range given {
			if len(given) != size || n != (size-1)*rounds {
				t.Fatalf("session %d of %d was given out %d times", s.ID(), len(given), n)
			}
		}
		gone := receive(t, r.opened, "OnOpen")
		must(t, gone.Close())
		if given = count(); given[gone] != 0 || len(given) != size-1 {
			t.Fatalf("of %d sessions, the closed one was given out %d times", len(given), given[gone])
		}
		if st := c.State(); st.Live != size-1 {
			t.Fatalf("with one of %d sessions closed the pool is %+v", size, st)
		}
	})
}

func TestSessionDialsAndWaits(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		h := hold(t, tr)
		to := routeTo(h.url)
		to.hang()
		cfg := quick(2)
		cfg.Dial, cfg.DialTimeout = to.dial, 20*time.Millisecond
		c := pooled(t, h.url, record(), cfg)
		if st := c.Stats(); st.Dials != 0 {
			t.Fatalf("%d dials before the first use", st.Dials)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if s, err := c.Session(within(t)); err != nil || s.Context().Err() != nil {
					t.Errorf("session %v, error %v", s, err)
				}
			})
		}
		receive(t, to.hanging, "dial")
		to.to(h.url)
		wg.Wait()
	})
}

func TestSessionEndsWithItsContext(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		failed := make(chan struct{}, 1024)
		c := pooled(t, tr.url(t), record(), getty.ClientConfig{
			Backoff:     getty.Backoff{Min: time.Millisecond, Max: time.Millisecond},
			OnReconnect: func(int, error) { failed <- struct{}{} },
			Dial:        func(context.Context, string, string) (net.Conn, error) { return nil, errNoService },
		})
		ctx, cancel := context.WithCancelCause(context.Background())
		enough := errors.New("enough")
		calls := map[string]func() error{
			"Session": func() error { _, err := c.Session(ctx); return err },
			"Connect": func() error { return c.Connect(ctx) },
			"Send":    func() error { return c.Send(ctx, "x") },
		}
		results := make(chan error, len(calls))
		for _, call := range calls {
			go func() { results <- call() }()
		}
		receive(t, failed, "second attempt")
		cancel(enough)
		for range calls {
			err := receive(t, results, "result")
			if !errors.Is(err, enough) || !errors.Is(err, errNoService) {
				t.Errorf("the error is %v, want the context's and the last failure", err)
			}
		}
	})
}

func TestClosedClientFailsAllCalls(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		c := connected(t, url, record(), getty.ClientConfig{PoolSize: 2})
		must(t, c.Close())
		must(t, c.Close())
		must(t, c.Shutdown(within(t)))
		_, err := c.Session(within(t))
		for _, err := range []error{err, c.Connect(within(t)), c.Send(within(t), "x")} {
			if !errors.Is(err, getty.ErrClosed) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("the error is %v, want ErrClosed", err)
			}
		}
		for s := range c.Sessions() {
			t.Errorf("session %d is left", s.ID())
		}
		if st := c.State(); st.Live != 0 || st.Dialing != 0 {
			t.Errorf("the pool is %+v", st)
		}
	})
}

// A sender that waits for room in a session that ends goes on with another one.
func TestSendGoesOnOverAnotherSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dialing(answerPipe)
		r := record()
		cfg := getty.ClientConfig{Dial: d.dial}
		cfg.HighWatermark, cfg.WriteTimeout = 1, time.Hour
		c := connected(t, "tcp://service:1", r, cfg)
		stuck := receive(t, d.far, "far end")
		s := receive(t, r.opened, "OnOpen")
		must(t, s.Send("never read"))
		sent := make(chan error, 1)
		go func() { sent <- c.Send(t.Context(), "hello") }()
		synctest.Wait() // Send waits for room
		if len(sent) != 0 {
			t.Fatalf("Send did not wait: %v", <-sent)
		}
		must(t, stuck.Close())
		next := receive(t, d.far, "far end of the next session")
		got := make([]byte, len("hello\n"))
		if _, err := io.ReadFull(next, got); err != nil || string(got) != "hello\n" {
			t.Fatalf("the next session got %q: %v", got, err)
		}
		must(t, receive(t, sent, "result of Send"))
	})
}

// Of all peers only the one at a Unix socket tells a writer at once, with the
// first write, that nobody reads: the write fails, and no byte has left.
func TestSendGoesOnAfterAFailedWrite(t *testing.T) {
	h := hold(t, transports[slices.IndexFunc(transports, func(tr transport) bool { return tr.name == "unix" })])
	c := connected(t, h.url, record(), quick(3))
	for range 2 {
		must(t, receive(t, h.conns, "connection").(*net.UnixConn).CloseRead())
	}
	for i := range 4 {
		if err := c.Send(within(t), fmt.Sprint(i)); err != nil {
			t.Fatalf("with one good session in the pool: %v", err)
		}
	}
}

// An error that another session would not mend is the caller's.
func TestSendReturnsOtherErrors(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		c := connected(t, url, record(), getty.ClientConfig{PoolSize: 2})
		err := c.Send(within(t), "two\nlines")
		if !errors.Is(err, codec.ErrBadMessage) || !getty.SafeToRetry(err) {
			t.Fatalf("the error is %v", err)
		}
		if st := c.State(); st.Live != 2 {
			t.Fatalf("the pool is %+v", st)
		}
	})
}

func TestStateAndStatsAreSnapshots(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		h := hold(t, tr)
		to, r := routeTo(h.url), record()
		cfg := quick(3)
		cfg.Dial = to.dial
		c := pooled(t, h.url, r, cfg)
		declined := make(chan error, 3)
		c.Reconnect = func(s *session, cause error) bool {
			if s.Value("last") == nil {
				return true
			}
			declined <- cause
			return false
		}
		if st := c.State(); st != (getty.ClientState{Size: 3}) {
			t.Fatalf("before the first use the pool is %+v", st)
		}
		must(t, c.Connect(within(t)))
		if st := c.State(); st != (getty.ClientState{Size: 3, Live: 3}) {
			t.Fatalf("the full pool is %+v", st)
		}
		h.drop(receive(t, h.conns, "connection"))
		receive(t, r.closed, "OnClose")
		reaches(t, 1, "the number of reconnects", func() int { return int(c.Stats().Reconnects) })

		to.hang()
		h.drop(receive(t, h.conns, "connection"))
		receive(t, to.hanging, "dial")
		for s := range c.Sessions() {
			s.SetValue("last", true)
			s.CloseWithCause(syscall.EPIPE)
			break
		}
		receive(t, declined, "question whether to reconnect")
		reaches(t, 1, "the number of declined slots", func() int { return c.State().Retired })
		st := c.State()
		if st.Size != 3 || st.Live != 1 || st.Dialing != 1 || st.LastError == nil || st.GaveUp {
			t.Fatalf("with one slot being dialed and one declined the pool is %+v", st)
		}
		stats := c.Stats()
		if stats.Dials != 5 || stats.DialFailures != 0 || stats.Reconnects != 1 || stats.Opened != 4 ||
			stats.Sessions != 1 || stats.Closed != 3 || stats.Causes["eof"] != 2 || stats.Causes["reset"] != 1 {
			t.Fatalf("the statistics are %+v", stats)
		}
	})
}
