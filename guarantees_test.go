// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// witness checks the order of the callbacks of each session.
type witness struct {
	t        *testing.T
	mu       sync.Mutex
	lives    map[*session]*life
	finished chan *session // one value for each OnClose
	inner    funcs         // what else the callbacks do
}

// life is what a witness has seen of one session.
type life struct {
	opened, closed, inside, cron int // calls begun; callbacks running
	next                         int // the number of the next message
	opening                      bool
}

func newWitness(t *testing.T, inner funcs) *witness {
	return &witness{t: t, lives: make(map[*session]*life), finished: make(chan *session, 1024), inner: inner}
}

// of runs check on the life of a session.
func (w *witness) of(s *session, check func(l *life)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lives[s] == nil {
		w.lives[s] = new(life)
	}
	check(w.lives[s])
}

func (w *witness) OnOpen(s *session) error {
	w.of(s, func(l *life) {
		if l.opened++; l.opened > 1 || l.closed > 0 || l.inside > 0 || l.cron > 0 {
			w.t.Errorf("OnOpen out of order: %+v", *l)
		}
		l.inside, l.opening = l.inside+1, true
	})
	defer w.of(s, func(l *life) { l.inside--; l.opening = false })
	return w.inner.OnOpen(s)
}

func (w *witness) OnMessage(s *session, m string) error {
	w.of(s, func(l *life) {
		if l.opened != 1 || l.closed > 0 || l.inside > 0 {
			w.t.Errorf("OnMessage out of order: %+v", *l)
		}
		if n, err := strconv.Atoi(m); err != nil || n != l.next {
			w.t.Errorf("message %q, want %d", m, l.next)
		}
		l.inside++
		l.next++
	})
	defer w.of(s, func(l *life) { l.inside-- })
	return w.inner.OnMessage(s, m)
}

func (w *witness) OnCron(s *session) {
	w.of(s, func(l *life) {
		if l.opened != 1 || l.opening || l.closed > 0 || l.cron > 0 {
			w.t.Errorf("OnCron out of order: %+v", *l)
		}
		l.cron++
	})
	defer w.of(s, func(l *life) { l.cron-- })
	w.inner.OnCron(s)
}

func (w *witness) OnClose(s *session, cause error) {
	if err := s.NetConn().SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		w.t.Errorf("the socket is not closed in OnClose(%v): %v", cause, err)
	}
	w.of(s, func(l *life) {
		if l.closed++; l.opened != 1 || l.closed > 1 || l.inside > 0 || l.cron > 0 {
			w.t.Errorf("OnClose out of order: %+v", *l)
		}
	})
	w.inner.OnClose(s, cause)
	w.finished <- s
}

// all fails unless n sessions have opened, and each has ended.
func (w *witness) all(n int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lives) != n {
		w.t.Errorf("%d sessions, want %d", len(w.lives), n)
	}
	for _, l := range w.lives {
		if l.opened != 1 || l.closed != 1 || l.inside != 0 || l.cron != 0 {
			w.t.Errorf("in the end: %+v", *l)
		}
	}
}

// numbers is the text of the messages from 0 to n-1.
func numbers(n int) string {
	var all []byte
	for i := range n {
		all = append(strconv.AppendInt(all, int64(i), 10), '\n')
	}
	return string(all)
}

// TestG1MessagesInWireOrder: with and without workers, for sessions that talk
// at the same time, in pieces that do not fit the messages.
func TestG1MessagesInWireOrder(t *testing.T) {
	const sessions, n = 4, 3000
	all := numbers(n)
	for _, workers := range []int{0, 1, 3} {
		t.Run(fmt.Sprint("workers ", workers), func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				w := newWitness(t, funcs{})
				srv, url := serve(t, tr, w, getty.Config{Workers: workers, CronPeriod: time.Millisecond}, nil)
				var talking sync.WaitGroup
				for i := range sessions {
					nc := peer(t, url)
					talking.Go(func() {
						defer nc.Close()
						for piece := range slices.Chunk([]byte(all), 700+100*i) {
							if _, err := nc.Write(piece); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				talking.Wait()
				for range sessions {
					receive(t, w.finished, "OnClose")
				}
				finish(t, srv)
				w.all(sessions)
				for _, l := range w.lives {
					if l.next != n {
						t.Errorf("%d messages, want %d", l.next, n)
					}
				}
			})
		})
	}
}

// TestG1OneOnCloseLast ends sessions in every way, many at the same time.
func TestG1OneOnCloseLast(t *testing.T) {
	ends := []func(s *session) error{
		func(*session) error { return nil }, // the peer's turn
		func(s *session) error { return s.Close() },
		func(s *session) error { s.CloseWithCause(errTest); return nil },
		func(*session) error { return errTest },
		func(*session) error { panic("test") },
		func(s *session) error { return s.NetConn().Close() },
		func(s *session) error { go s.Close(); return s.Close() },
	}
	for name, workers := range map[string]int{"reader": 0, "workers": 2} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				var turn atomic.Int64
				w := newWitness(t, funcs{
					Open: func(s *session) error {
						n := int(turn.Add(1))
						s.SetValue("end", ends[n%len(ends)])
						if n%2 == 0 {
							return ends[n%len(ends)](s)
						}
						return nil
					},
					Message: func(s *session, m string) error {
						if m != "5" {
							return s.Send(m)
						}
						return s.Value("end").(func(*session) error)(s)
					},
				})
				cfg := getty.Config{Workers: workers, CronPeriod: time.Millisecond}
				srv, url := serve(t, tr, w, cfg, nil)
				sessions := 4 * len(ends)
				var peers sync.WaitGroup
				for range sessions {
					nc := peer(t, url)
					peers.Go(func() {
						defer nc.Close()
						_, _ = io.WriteString(nc, numbers(10))
						_ = nc.(interface{ CloseWrite() error }).CloseWrite()
						_, _ = io.Copy(io.Discard, nc)
					})
				}
				peers.Wait()
				for range sessions {
					receive(t, w.finished, "OnClose")
				}
				finish(t, srv)
				w.all(sessions)
			})
		})
	}
}

// TestG1NoSessionDelaysAnother: one handler hangs, the others go on.
func TestG1NoSessionDelaysAnother(t *testing.T) {
	for name, workers := range map[string]int{"reader": 0, "workers": 2} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				entered, leave := make(chan struct{}, 1), newGate(t)
				events := funcs{Message: func(s *session, m string) error {
					if m == "hang" {
						entered <- struct{}{}
						leave.wait()
					}
					return s.Send(m)
				}}
				_, url := serve(t, tr, events, getty.Config{Workers: workers}, nil)
				hanging, other := peer(t, url), peer(t, url)
				write(t, hanging, "hang\nnext\n")
				receive(t, entered, "message")
				for i := range 100 {
					ask(t, other, strconv.Itoa(i))
				}
				ask(t, peer(t, url), "new")
				leave.open()
				if got := readLine(t, hanging); got != "hang" {
					t.Errorf("answer is %q", got)
				}
			})
		})
	}
}

// TestG1BusyWorkersDelayMessagesOnly: a pool that the user bounded holds up
// messages, but not the opening and the end of sessions.
func TestG1BusyWorkersDelayMessagesOnly(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, entered, leave := record(), make(chan struct{}, 1), newGate(t)
		r.onMessage = func(s *session, m string) error {
			if m == "hang" {
				entered <- struct{}{}
				leave.wait()
			}
			return s.Send(m)
		}
		_, url := serve(t, tr, r, getty.Config{Workers: 1}, nil)
		hanging := peer(t, url)
		write(t, hanging, "hang\n")
		receive(t, entered, "message")
		receive(t, r.opened, "OnOpen")

		silent := peer(t, url)
		receive(t, r.opened, "OnOpen while the worker is busy")
		silent.Close()
		wantEnd(t, r, io.EOF)
		waiting := peer(t, url)
		write(t, waiting, "waits\n")
		leave.open()
		for nc, want := range map[net.Conn]string{hanging: "hang", waiting: "waits"} {
			if got := readLine(t, nc); got != want {
				t.Errorf("answer is %q, want %q", got, want)
			}
		}
	})
}

// TestG4PeersEndOnlyTheirOwnSession: bytes that are no messages, resets and
// early ends of some peers are not noticed by others.
func TestG4PeersEndOnlyTheirOwnSession(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{MaxMessageSize: 100}, nil)
		good := peer(t, url)
		for _, attack := range []func(nc net.Conn){
			func(nc net.Conn) { _, _ = io.WriteString(nc, strings.Repeat("x", 1000)) },
			func(nc net.Conn) { _, _ = io.WriteString(nc, "no end of line") },
			func(nc net.Conn) { reset(nc); _, _ = io.WriteString(nc, "one\ntwo\n") },
			func(net.Conn) {},
		} {
			for range 3 {
				nc := peer(t, url)
				attack(nc)
				nc.Close()
				if raw, err := rawDial(url); err == nil { // no handshake, or half of one
					attack(raw)
					raw.Close()
				}
			}
			ask(t, good, "still there")
		}
	})
}

// reset makes the close of a TCP conn a reset.
func reset(nc net.Conn) {
	if u, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = u.NetConn()
	}
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
}

// A session with little to do is served beside others that always have more: the
// readers of those let others run, and sleep now and then.
func TestG1ABusySessionStarvesNobody(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		var busy sync.WaitGroup
		enough := make(chan struct{})
		for range 4 {
			nc := peer(t, url)
			batch := strings.Repeat("busy\n", 16)
			busy.Go(func() {
				lines := bufio.NewReader(nc)
				for {
					select {
					case <-enough:
						return
					default:
					}
					_, err := io.WriteString(nc, batch)
					for range 16 {
						if err == nil {
							_, err = lines.ReadString('\n')
						}
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		quiet := peer(t, url)
		for i := range 50 {
			ask(t, quiet, strconv.Itoa(i))
		}
		close(enough)
		busy.Wait()
	})
}
