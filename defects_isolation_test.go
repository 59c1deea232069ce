// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// crons is a listener whose first session has a cron of its own making. All
// others report theirs, and all answer messages.
type crons struct {
	*recorder
	first func(s *session)
	once  atomic.Pointer[session]
}

func (c *crons) OnOpen(s *session) error {
	c.once.CompareAndSwap(nil, s)
	return c.recorder.OnOpen(s)
}

func (c *crons) OnMessage(s *session, m string) error { return s.Send(m) }

func (c *crons) OnCron(s *session) {
	if c.once.Load() == s {
		c.first(s)
		return
	}
	c.recorder.OnCron(s)
}

func TestD10SlowCronStallsNobody(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		entered, leave := make(chan struct{}, 1024), newGate(t)
		c := &crons{recorder: record(), first: func(*session) {
			entered <- struct{}{}
			leave.wait()
		}}
		c.onClose = func(*session, error) {
			select {
			case <-leave.passed:
			default:
				t.Error("OnClose overlaps OnCron")
			}
		}
		_, url := serve(t, tr, c, getty.Config{CronPeriod: time.Millisecond, CloseTimeout: limit}, nil)
		slow := peer(t, url)
		s := receive(t, c.opened, "OnOpen")
		receive(t, entered, "slow OnCron")
		other := peer(t, url)
		for range 20 {
			receive(t, c.crons, "OnCron of the other session")
			ask(t, other, "other")
			ask(t, slow, "slow") // its messages are not held up either
		}
		if len(entered) > 0 {
			t.Error("OnCron overlaps itself")
		}
		returns(t, "Close", func() { _ = s.Close() })
		readAll(t, slow)
		slow.Close()
		ask(t, other, "still there")
		leave.open()
		wantEnd(t, c.recorder, nil)
	})
}

func TestD10FailingCronEndsOneSession(t *testing.T) {
	for name, fail := range map[string]func(){
		"panic": func() { panic(errTest) }, "Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				c := &crons{recorder: record(), first: func(*session) { fail() }}
				_, url := serve(t, tr, c, getty.Config{CronPeriod: time.Millisecond}, nil)
				bad := peer(t, url)
				receive(t, c.opened, "OnOpen")
				other := peer(t, url)
				readAll(t, bad)
				bad.Close()
				cause := receive(t, c.closed, "OnClose")
				if !errors.Is(cause, errTest) && !errors.Is(cause, getty.ErrGoexit) {
					t.Errorf("cause is %v", cause)
				}
				for range 5 {
					receive(t, c.crons, "OnCron of the other session")
				}
				ask(t, other, "still there")
			})
		})
	}
}

// TestD12NothingStallsAccepting opens sessions that hang in each place before
// their messages, and one after them that must not notice.
func TestD12NothingStallsAccepting(t *testing.T) {
	const n = 3
	for _, place := range []string{"Configure", "OnOpen", "OnMessage", "OnClose"} {
		t.Run(place, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				entered, leave := make(chan struct{}, n), newGate(t)
				var hanging atomic.Bool
				in := func(here string) {
					if here == place && hanging.Load() {
						entered <- struct{}{}
						leave.wait()
					}
				}
				events := funcs{
					Open:    func(*session) error { in("OnOpen"); return nil },
					Message: func(s *session, m string) error { in("OnMessage"); return s.Send(m) },
					Close:   func(*session, error) { in("OnClose") },
				}
				srv, url := serve(t, tr, events, getty.Config{CloseTimeout: time.Millisecond}, func(s *getty.Server[string]) {
					s.Configure = func(*session, *setup) error { in("Configure"); return nil }
				})
				hanging.Store(true)
				for range n {
					nc := peer(t, url)
					write(t, nc, "message\n")
					if place == "OnClose" {
						readLine(t, nc)
						nc.Close()
					}
					receive(t, entered, "session that hangs")
				}
				hanging.Store(false)
				ask(t, peer(t, url), "next")
				leave.open()
				finish(t, srv)
			})
		})
	}
}

// TestD12HandshakeStallsNobody: clients that connect and say nothing.
func TestD12HandshakeStallsNobody(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		srv, url := serve(t, tr, echo, getty.Config{HandshakeTimeout: time.Hour, CloseTimeout: time.Millisecond}, nil)
		for range 3 {
			nc, err := rawDial(url)
			must(t, err)
			defer nc.Close()
		}
		ask(t, peer(t, url), "next")
		finish(t, srv) // cuts the handshakes
	})
}
