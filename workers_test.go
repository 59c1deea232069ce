// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
)

// gauge counts what runs at the same time.
type gauge struct{ now, most atomic.Int32 }

func (g *gauge) enter() {
	n := g.now.Add(1)
	for m := g.most.Load(); n > m && !g.most.CompareAndSwap(m, n); m = g.most.Load() {
	}
}

func (g *gauge) leave() { g.now.Add(-1) }

// tasks is an Executor that starts a goroutine for each task, and may refuse.
type tasks struct {
	running sync.WaitGroup
	refuse  atomic.Bool
	n       atomic.Int64
}

var errPoolFull = errors.New("no more work")

func (x *tasks) Submit(task func()) error {
	if x.refuse.Load() {
		return errPoolFull
	}
	x.n.Add(1)
	x.running.Go(task)
	return nil
}

// inline is an Executor that runs tasks on the caller's goroutine.
type inline struct{}

func (inline) Submit(task func()) error {
	task()
	return nil
}

// executors are the ways to run OnMessage elsewhere, and how many at a time.
var executors = []struct {
	name string
	size int32
	cfg  func(t testing.TB) getty.Config
}{
	{"workers", 3, func(testing.TB) getty.Config { return getty.Config{Workers: 3} }},
	{"one worker", 1, func(testing.TB) getty.Config { return getty.Config{Workers: 1} }},
	{"goroutines", 8, func(testing.TB) getty.Config { return getty.Config{Executor: new(tasks)} }},
	{"inline", 8, func(testing.TB) getty.Config { return getty.Config{Executor: inline{}} }},
}

func TestD49WorkersKeepOrderAndBound(t *testing.T) {
	const sessions, share = 8, 80
	for _, x := range executors {
		t.Run(x.name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				var running gauge
				next := make(map[*session]int)
				var mu sync.Mutex
				var done sync.WaitGroup
				done.Add(sessions * share)
				_, url := serve(t, tr, funcs{Message: func(s *session, m string) error {
					running.enter()
					defer running.leave()
					defer done.Done()
					mu.Lock()
					defer mu.Unlock()
					if want := strconv.Itoa(next[s]); m != want {
						t.Errorf("session %d: message %s came instead of %s", s.ID(), m, want)
					}
					next[s]++
					mu.Unlock()
					runtime.Gosched()
					mu.Lock()
					return nil
				}}, x.cfg(t), nil)
				for range sessions {
					nc := peer(t, url)
					go func() {
						for i := range share {
							if _, err := fmt.Fprintln(nc, i); err != nil {
								t.Error(err)
								return
							}
						}
					}()
				}
				returns(t, "all messages", done.Wait)
				if most := running.most.Load(); most > x.size {
					t.Errorf("%d handlers ran at the same time, want at most %d", most, x.size)
				}
			})
		})
	}
}

func TestD49BusyWorkersAddNoGoroutinesAndStopReading(t *testing.T) {
	const workers, sessions = 4, 40
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		r.onMessage = func(*session, string) error {
			time.Sleep(time.Minute)
			return nil
		}
		srv := v.serve(t, r, getty.Config{Workers: workers}, nil)
		var peers []net.Conn
		for range sessions {
			peers = append(peers, v.dial(t))
		}
		for _, nc := range peers[:workers] {
			write(t, nc, "busy\n")
		}
		synctest.Wait()
		before := goroutines("synctest bubble") // not the runtime's own
		for _, nc := range peers[workers:] {
			write(t, nc, "waits\n")
		}
		synctest.Wait()
		if got := goroutines("synctest bubble"); got > before {
			t.Errorf("%d goroutines while all workers are busy, %d before", got, before)
		}
		if len(r.messages) != workers {
			t.Errorf("%d handlers run, want %d", len(r.messages), workers)
		}
		// A session that waits is not read: what it is sent stays with the peer.
		read := srv.Stats().BytesIn
		for _, nc := range peers[workers:] {
			write(t, nc, strings.Repeat("more\n", 1000))
		}
		synctest.Wait()
		if got := srv.Stats().BytesIn; got != read {
			t.Errorf("%d bytes were read of sessions that wait for a worker", got-read)
		}
	})
}

// wantKept fails if m, which repeats one letter, is not what it was at first, and
// a while later.
func wantKept(t testing.TB, m []byte) {
	kept := string(m)
	for range 3 { // meanwhile more arrives, and other sessions read
		runtime.Gosched()
	}
	if string(m) != kept || strings.Count(kept, kept[:1]) != len(kept) {
		t.Errorf("message of %d bytes changed while OnMessage had it", len(m))
	}
}

func TestD50MessagesStayUntilOnMessageReturns(t *testing.T) {
	for _, x := range executors {
		t.Run(x.name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				const n = 200
				done := make(chan struct{}, n)
				events := getty.EventFuncs[[]byte]{Message: func(_ *getty.Session[[]byte], m []byte) error {
					wantKept(t, m)
					done <- struct{}{}
					return nil
				}}
				cfg := x.cfg(t)
				_, nc := frames(t, tr, events, cfg)
				go func() {
					for i := range n {
						size := 1 + i*i%7000
						frame := []byte{0, 0, byte(size >> 8), byte(size)}
						frame = append(frame, strings.Repeat(string(rune('a'+i%26)), size)...)
						if _, err := nc.Write(frame); err != nil {
							t.Error(err)
							return
						}
					}
				}()
				for range n {
					receive(t, done, "message")
				}
			})
		})
	}
}

func TestExecutorThatRefusesEndsTheSessionAlone(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		x := new(tasks)
		r := record()
		r.onMessage = func(s *session, m string) error { return s.Send(m) }
		_, url := serve(t, tr, r, getty.Config{Executor: x}, nil)
		first, second := peer(t, url), peer(t, url)
		ask(t, first, "hello")
		x.refuse.Store(true)
		write(t, first, "refused\n")
		halfClose(t, first)
		wantEnd(t, r, errPoolFull)
		if got := readAll(t, first); got != "" {
			t.Errorf("peer got %q", got)
		}
		x.refuse.Store(false)
		ask(t, second, "hello")
		x.running.Wait()
	})
}

func TestG4AHandlerThatDoesNotReturnTakesNoWorkerAway(t *testing.T) {
	for name, c := range map[string]struct {
		fail func()
		kind string
	}{
		"panic":  {func() { panic("handler") }, "panic"},
		"Goexit": {runtime.Goexit, "goexit"},
	} {
		for _, x := range executors[:2] {
			t.Run(name+"/"+x.name, func(t *testing.T) {
				eachTransport(t, func(t *testing.T, tr transport) {
					r := record()
					r.onMessage = func(s *session, m string) error {
						if m == "fail" {
							c.fail()
						}
						return s.Send(m)
					}
					_, url := serve(t, tr, r, x.cfg(t), nil)
					other := peer(t, url)
					for range 2 * x.size {
						nc := peer(t, url)
						write(t, nc, "fine\nfail\nnever\n")
						if got := readAll(t, nc); got != "fine\n" {
							t.Errorf("peer got %q", got)
						}
						_ = nc.Close()
						if kind := getty.CauseKind(receive(t, r.closed, "OnClose")); kind != c.kind {
							t.Errorf("cause is of kind %q, want %q", kind, c.kind)
						}
						ask(t, other, "hello")
					}
				})
			})
		}
	}
}

func TestWorkersOfADialedSessionEndWithIt(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		r := record()
		s := dial(t, url, r, getty.Config{Workers: 4})
		must(t, s.Send("hello"))
		receive(t, r.messages, "answer")
		must(t, s.Close())
		wantEnd(t, r, nil) // TestMain looks for the workers
	})
}

func TestShutdownWaitsForWorkers(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		handled := false
		r.onMessage = func(*session, string) error {
			time.Sleep(time.Minute)
			handled = true
			return nil
		}
		srv := v.serve(t, r, getty.Config{Workers: 2}, nil)
		nc := v.dial(t)
		write(t, nc, "x\n")
		synctest.Wait()
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		must(t, srv.Shutdown(t.Context()))
		if !handled || v.since() < time.Minute {
			t.Errorf("Shutdown returned after %v, while a handler ran", v.since())
		}
	})
}
