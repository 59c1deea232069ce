// SPDX-License-Identifier: Apache-2.0

package executor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/panjf2000/ants/v2"
	"go.uber.org/goleak"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

const limit = 20 * time.Second

func TestMain(m *testing.M) {
	ants.Release() // the pool that comes with the package runs goroutines of its own
	goleak.VerifyTestMain(m)
}

// serve starts a server whose messages an ants pool handles, and connects to it.
func serve(t *testing.T, size int, events getty.EventListener[string], opts ...ants.Option) (dial func() net.Conn) {
	t.Helper()
	pool, err := ants.NewPool(size, append(opts, ants.WithDisablePurge(true))...)
	must(t, err)
	srv, err := getty.NewServer(codec.Line{}, events, getty.Config{Executor: pool})
	must(t, err)
	must(t, srv.Listen("tcp://127.0.0.1:0"))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		must(t, srv.Shutdown(ctx))
		must(t, pool.ReleaseTimeout(limit))
	})
	return func() net.Conn {
		nc, err := net.Dial("tcp", srv.Addrs()[0].String())
		must(t, err)
		must(t, nc.SetDeadline(time.Now().Add(limit)))
		t.Cleanup(func() { _ = nc.Close() })
		return nc
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAntsRunsSessionsInOrder(t *testing.T) {
	dial := serve(t, 3, getty.EventFuncs[string]{
		Message: func(s *getty.Session[string], m string) error { return s.Send(m) },
	})
	const conns, messages = 20, 500
	failed := make(chan error, conns)
	for range conns {
		nc := dial()
		go func() { failed <- exchange(nc, messages) }()
	}
	for range conns {
		must(t, <-failed)
	}
}

// exchange sends numbers and wants them back in order.
func exchange(nc net.Conn, n int) error {
	out, in := bufio.NewWriter(nc), bufio.NewScanner(nc)
	for i := range n {
		if _, err := fmt.Fprintln(out, i); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for i := range n {
		if !in.Scan() || in.Text() != fmt.Sprint(i) {
			return fmt.Errorf("answer %d is %q, %w", i, in.Text(), errors.Join(in.Err(), errAnswer))
		}
	}
	return nil
}

var errAnswer = errors.New("not the answer")

func TestAntsThatIsFullEndsTheSession(t *testing.T) {
	busy, release := make(chan struct{}), make(chan struct{})
	closed := make(chan error, 2)
	dial := serve(t, 1, getty.EventFuncs[string]{
		Message: func(*getty.Session[string], string) error {
			close(busy)
			<-release
			return nil
		},
		Close: func(_ *getty.Session[string], cause error) { closed <- cause },
	}, ants.WithNonblocking(true))
	_, err := fmt.Fprintln(dial(), "takes the only worker")
	must(t, err)
	<-busy
	refused := dial()
	_, err = fmt.Fprintln(refused, "finds none")
	must(t, err)
	must(t, refused.(*net.TCPConn).CloseWrite())
	if cause := <-closed; !errors.Is(cause, ants.ErrPoolOverload) {
		t.Errorf("cause is %v", cause)
	}
	close(release)
}
