// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"go.uber.org/goleak"
)

var errTest = errors.New("test error")

// onceDialer dials the first n times; after that each dial is reported and
// hangs until its context ends.
func onceDialer(n int) (hook func(ctx context.Context, network, address string) (net.Conn, error), hung chan struct{}) {
	var left atomic.Int64
	left.Store(int64(n))
	hung = make(chan struct{}, 64)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if left.Add(-1) >= 0 {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		hung <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}, hung
}

func TestD01DeathIsReportedAtOnce(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		accepted, r := record(), record()
		_, url := serve(t, tr, accepted, getty.Config{}, nil)
		hook, hung := onceDialer(2)
		c := pooled(t, url, r, getty.ClientConfig{PoolSize: 2, Dial: hook})
		must(t, c.Connect(within(t)))

		// The first death comes while nothing else goes on, the second while the
		// client is dialing in vain.
		must(t, receive(t, accepted.opened, "accepted session").Close())
		wantEnd(t, r, io.EOF)
		receive(t, hung, "attempt to reconnect")
		must(t, receive(t, accepted.opened, "accepted session").Close())
		wantEnd(t, r, io.EOF)
		if st := c.State(); st.Live != 0 || st.Dialing == 0 {
			t.Errorf("state is %+v, want a client that still dials", st)
		}
	})
}

func TestD02CloseNeverDials(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, record(), getty.Config{}, nil)
		hook, hung := onceDialer(1)
		returned, r := make(chan struct{}), record()
		var closing atomic.Bool // when Connect has returned, which waits for a session that is open
		events := funcs{Open: r.OnOpen, Close: r.OnClose, Cron: func(s *session) {
			if closing.CompareAndSwap(true, false) {
				_ = s.Close()
				close(returned)
			}
		}}
		c := pooled(t, url, events, getty.ClientConfig{Config: getty.Config{CronPeriod: time.Millisecond}, Dial: hook})
		must(t, c.Connect(within(t)))
		closing.Store(true)
		// Reconnecting hangs for good: neither Close, nor OnClose, nor the timers
		// of other sessions wait for it.
		ended(t, returned, "return of Close from OnCron")
		wantEnd(t, r, nil)
		receive(t, hung, "attempt to reconnect")
		other := record()
		dial(t, url, other, getty.Config{CronPeriod: time.Millisecond})
		for range 5 {
			receive(t, other.crons, "OnCron of another session")
		}
	})
}

func TestD03FailedOnOpenClosesTheSocket(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		r, closed := record(), make(chan error, 1)
		r.onOpen = func(s *session) error {
			_ = s.Send("sorry")
			return errTest
		}
		r.onClose = func(s *session, _ error) { closed <- s.NetConn().SetDeadline(time.Time{}) }
		ep, nc := open(t, spec{events: r})
		write(t, nc, "never delivered\n")
		if got := readAll(t, nc); got != "sorry\n" {
			t.Errorf("peer got %q, want what OnOpen has sent", got)
		}
		nc.Close()
		wantEnd(t, r, errTest)
		if err := receive(t, closed, "look at the socket"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("socket in OnClose: %v, want net.ErrClosed", err)
		}
		finish(t, ep)
		wantNoMore(t, r)
		if st := ep.Stats(); st.Opened != 1 || st.Closed != 1 || st.Failed != 0 {
			t.Errorf("stats are %+v", st)
		}
	})
}

func TestD03DialReturnsTheErrorOfOnOpen(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		r := record()
		r.onOpen = func(*session) error { return errTest }
		s, err := getty.Dial(within(t), url, getty.Codec[string](&hooked{}), r, getty.Config{TLS: clientTLS()})
		if s != nil || !errors.Is(err, errTest) {
			t.Errorf("Dial gave %v, %v", s, err)
		}
		wantEnd(t, r, errTest)
	})
}

func TestD04CloseEndsAcceptedSessions(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		before := goleak.IgnoreCurrent()
		r := record()
		srv, url := serve(t, tr, r, getty.Config{Workers: 2, CronPeriod: time.Millisecond}, nil)
		const n = 3
		for range n {
			nc := peer(t, url)
			write(t, nc, "x\n") // starts a worker
			receive(t, r.messages, "message")
		}
		must(t, srv.Close())
		for range n {
			wantEnd(t, r, getty.ErrShutdown)
		}
		finish(t, srv)
		if n := len(slices.Collect(srv.Sessions())); n > 0 {
			t.Errorf("%d sessions after Close", n)
		}
		if nc, err := rawDial(url); err == nil {
			nc.Close()
			t.Error("the server still listens")
		}
		must(t, goleak.Find(before))
		wantNoMore(t, r)
	})
}

func TestD04CloseOfAClientEndsItsSessions(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		before := goleak.IgnoreCurrent()
		r, accepted := record(), record()
		srv, url := serve(t, tr, accepted, getty.Config{}, nil)
		const n = 3
		c := pooled(t, url, r, getty.ClientConfig{PoolSize: n, Config: getty.Config{CronPeriod: time.Millisecond}})
		must(t, c.Connect(within(t)))
		must(t, c.Close())
		for range n {
			wantEnd(t, r, getty.ErrShutdown)
			receive(t, accepted.closed, "OnClose of the server")
		}
		finish(t, c)
		finish(t, srv)
		must(t, goleak.Find(before))
		wantNoMore(t, r)
	})
}

func TestD04ShutdownDrainsSessions(t *testing.T) {
	const n, lines = 3, 2000
	payload := strings.Repeat("x", 1000)
	eachTransport(t, func(t *testing.T, tr transport) {
		before := goleak.IgnoreCurrent()
		r, sent := record(), make(chan error, n)
		r.onOpen = func(s *session) error {
			go func() {
				for i := range lines {
					if err := s.Send(strconv.Itoa(i) + payload); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			return nil
		}
		// What is sent is more than the kernel takes, and is all accepted.
		srv, url := serve(t, tr, r, getty.Config{HighWatermark: 64 << 20, CloseTimeout: limit}, nil)
		var peers []net.Conn
		for range n {
			peers = append(peers, peer(t, url))
		}
		for range n {
			must(t, receive(t, sent, "end of sending"))
		}
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(within(t)) }()
		for _, nc := range peers {
			if got := readLines(t, nc); got != lines {
				t.Errorf("peer got %d lines, want %d", got, lines)
			}
			nc.Close()
		}
		must(t, receive(t, down, "return of Shutdown"))
		for range n {
			wantEnd(t, r, getty.ErrShutdown)
		}
		must(t, goleak.Find(before))
		wantNoMore(t, r)
	})
}
