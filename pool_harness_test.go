// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/internal/backoff"
)

// The certificate is made here, with the real clock: inside a bubble of
// synctest it would be one of the year 2000, for all tests.
var _, _ = certificate()

// errNoService is the error of Dial hooks that fail.
var errNoService = errors.New("refused by the test")

// quick are settings under which a client tries again at once. A session counts
// as stable after a millisecond.
func quick(size int) getty.ClientConfig {
	return getty.ClientConfig{
		PoolSize:     size,
		StablePeriod: time.Millisecond,
		Backoff:      getty.Backoff{Min: time.Millisecond, Max: 2 * time.Millisecond},
		Config:       getty.Config{CloseTimeout: 50 * time.Millisecond},
	}
}

// holder is a raw server that holds what it accepts until it is dropped.
type holder struct {
	url   string
	conns chan net.Conn // accepted and past the handshake
	open  atomic.Int64  // accepted and not dropped
	most  atomic.Int64  // of open, ever

	mu  sync.Mutex
	all []net.Conn
}

func hold(t testing.TB, tr transport) *holder {
	t.Helper()
	kind, addr, path := splitURL(tr.url(t))
	l, err := net.Listen(networkOf(kind), addr)
	must(t, err)
	h := &holder{url: kind + "://" + l.Addr().String() + path, conns: make(chan net.Conn, 1<<12)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			h.count()
			wg.Go(func() { h.take(nc, kind) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
		close(h.conns)
		for _, nc := range h.all {
			_ = nc.Close()
		}
	})
	return h
}

func (h *holder) count() {
	n := h.open.Add(1)
	for most := h.most.Load(); n > most && !h.most.CompareAndSwap(most, n); most = h.most.Load() {
	}
}

func (h *holder) take(nc net.Conn, kind string) {
	_ = nc.SetDeadline(time.Now().Add(limit))
	nc = rawEnd(nc, kind, false, "")
	if hs, ok := nc.(interface{ Handshake() error }); ok && hs.Handshake() != nil {
		h.drop(nc)
		return
	}
	h.mu.Lock()
	h.all = append(h.all, nc) // or the collector closes those that a test has received and forgotten
	h.mu.Unlock()
	h.conns <- nc
}

// drop closes one end. It is not counted any more before the client can know.
func (h *holder) drop(nc net.Conn) {
	h.open.Add(-1)
	_ = nc.Close()
}

// route is a Dial hook that goes to a place that can be changed.
type route struct {
	url     atomic.Pointer[string] // nil: dials hang until their context ends
	hanging chan struct{}          // told of each dial that hangs
}

func routeTo(url string) *route {
	r := &route{hanging: make(chan struct{}, 1024)}
	r.to(url)
	return r
}

func (r *route) to(url string) { r.url.Store(&url) }
func (r *route) hang()         { r.url.Store(nil) }

func (r *route) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	url := r.url.Load()
	if url == nil {
		r.hanging <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	_, addr, _ := splitURL(*url)
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// connected makes a client and fills its pool.
func connected(t testing.TB, url string, events getty.EventListener[string], cfg getty.ClientConfig) *getty.Client[string] {
	t.Helper()
	c := pooled(t, url, events, cfg)
	must(t, c.Connect(within(t)))
	return c
}

// reaches waits until look gives want.
func reaches[T comparable](t testing.TB, want T, what string, look func() T) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(limit)
	for {
		got := look()
		if got == want {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s stays at %v, want %v", what, got, want)
		}
	}
}

// pressing asks the client for sessions from several goroutines until the
// function that it returns is called.
func pressing(t testing.TB, c *getty.Client[string]) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, call := range []func() error{
		func() error { return c.Connect(ctx) },
		func() error { _, err := c.Session(ctx); return err },
		func() error { return c.Send(ctx, "x") },
	} {
		wg.Go(func() {
			pace := time.NewTicker(200 * time.Microsecond)
			defer pace.Stop()
			for ctx.Err() == nil {
				if err := call(); err != nil && ctx.Err() == nil && getty.SafeToRetry(err) {
					t.Error(err)
				}
				<-pace.C
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// service is the other side of a client under synctest: a Dial hook that notes
// when it is called.
type service struct {
	answer atomic.Pointer[answer]
	far    chan net.Conn // the other ends, from answerPipe

	start time.Time
	mu    sync.Mutex
	at    []time.Duration // of the dials, since start
}

// answer is what a service does with a dial.
type answer func(ctx context.Context, sv *service) (net.Conn, error)

func dialing(a answer) *service {
	sv := &service{start: time.Now(), far: make(chan net.Conn, 4096)}
	sv.becomes(a)
	return sv
}

func (sv *service) becomes(a answer) { sv.answer.Store(&a) }

func (sv *service) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	sv.mu.Lock()
	sv.at = append(sv.at, time.Since(sv.start))
	sv.mu.Unlock()
	return (*sv.answer.Load())(ctx, sv)
}

func (sv *service) dials() int {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	return len(sv.at)
}

// pauses are the times between rounds of n dials at the same time.
func (sv *service) pauses(t testing.TB, n int) []time.Duration {
	t.Helper()
	sv.mu.Lock()
	defer sv.mu.Unlock()
	var ps []time.Duration
	for i, at := range sv.at {
		switch {
		case i%n != 0 && at != sv.at[i-1]:
			t.Fatalf("dials of one round at different times: %v", sv.at)
		case i%n == 0 && i > 0:
			ps = append(ps, at-sv.at[i-1])
		}
	}
	return ps
}

func answerPipe(_ context.Context, sv *service) (net.Conn, error) {
	near, far := net.Pipe()
	sv.far <- far
	return near, nil
}

func answerError(context.Context, *service) (net.Conn, error) { return nil, errNoService }

func answerNever(ctx context.Context, _ *service) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func answerEOF(context.Context, *service) (net.Conn, error) {
	near, far := net.Pipe()
	return near, far.Close()
}

func answerLine(line string) answer {
	return func(context.Context, *service) (net.Conn, error) {
		near, far := net.Pipe()
		go func() { _, _ = io.WriteString(far, line) }()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		return near, nil
	}
}

// the default backoff, and the pause after the n-th failure within it.
func checkPause(t testing.TB, n int, pause, slack time.Duration) {
	t.Helper()
	longest := backoff.Ceiling(n, getty.DefaultBackoffMin, getty.DefaultBackoffMax)
	if pause < longest/2 || pause > longest+slack {
		t.Fatalf("the pause after failure %d is %v, want %v to %v", n, pause, longest/2, longest+slack)
	}
}
