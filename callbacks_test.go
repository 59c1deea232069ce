// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// failures are the ways in which a callback does not return.
var failures = []struct {
	name  string
	fail  func()
	check func(cause error) bool
}{
	{"value", func() { misbehave("value") }, panicked("value")},
	{"error", func() { misbehave(errTest) }, func(cause error) bool {
		return panicked(errTest)(cause) && errors.Is(cause, errTest)
	}},
	{"runtime", func() { misbehave(nil) }, func(cause error) bool {
		var re runtime.Error
		return errors.As(cause, new(*getty.PanicError)) && errors.As(cause, &re)
	}},
	{"Goexit", runtime.Goexit, func(cause error) bool { return errors.Is(cause, getty.ErrGoexit) }},
}

// misbehave panics with v, or with an error of the runtime.
func misbehave(v any) {
	if v == nil {
		var none []int
		none[len(none)]++
	}
	panic(v)
}

// panicked recognises a PanicError with its value and its stack.
func panicked(v any) func(error) bool {
	return func(err error) bool {
		var pe *getty.PanicError
		return errors.As(err, &pe) && pe.Value == v && bytes.Contains(pe.Stack, []byte("misbehave"))
	}
}

// saboteur is a listener with one victim, in one of whose callbacks it fails.
// It is an observer as well.
type saboteur struct {
	*recorder
	place  string
	fail   func()
	armed  atomic.Bool // the next session is the victim
	victim atomic.Pointer[session]
	failed chan error // told to the observer
	causes chan error
}

func newSaboteur(place string, fail func()) *saboteur {
	return &saboteur{recorder: record(), place: place, fail: fail, failed: make(chan error, 16), causes: make(chan error, 16)}
}

func (b *saboteur) in(place string, s *session) {
	if place == b.place && b.victim.Load() == s {
		b.fail()
	}
}

func (b *saboteur) configure(s *session, u *setup) error {
	if b.armed.Swap(false) {
		b.victim.Store(s)
	}
	u.Codec = &hooked{onDecode: func([]byte) error { b.in("Decode", s); return nil }}
	b.in("Configure", s)
	return nil
}

func (b *saboteur) OnOpen(s *session) error {
	b.in("OnOpen", s)
	return nil
}

func (b *saboteur) OnMessage(s *session, m string) error {
	b.in("OnMessage", s)
	return s.Send(m)
}

func (b *saboteur) OnCron(s *session) { b.in("OnCron", s) }

func (b *saboteur) OnClose(s *session, cause error) {
	if b.victim.Load() == s {
		b.recorder.OnClose(s, cause)
	}
	b.in("OnClose", s)
}

func (b *saboteur) SessionOpened(getty.SessionInfo) {}

func (b *saboteur) ConnFailed(_ string, _ net.Addr, err error) { b.failed <- err }
func (b *saboteur) SessionClosed(_ getty.SessionInfo, _ getty.SessionStats, cause error) {
	b.causes <- cause
}

// provoke has the peer of a victim do what makes each callback run, and see
// the end of the session.
func (b *saboteur) provoke(t *testing.T, nc net.Conn) {
	t.Helper()
	_, _ = io.WriteString(nc, "message\n")
	if b.place == "OnClose" {
		readLine(t, nc)
	} else {
		_, _ = io.Copy(io.Discard, nc)
	}
	nc.Close()
}

// judge looks at what was reported about the victim.
func (b *saboteur) judge(t *testing.T, ep endpoint, check func(error) bool) {
	t.Helper()
	switch b.place {
	case "Configure":
		if err := receive(t, b.failed, "ConnFailed"); !check(err) {
			t.Errorf("the observer was told %v", err)
		}
		if st := ep.Stats(); st.Failed != 1 {
			t.Errorf("stats are %+v", st)
		}
		return
	case "OnClose":
		wantEnd(t, b.recorder, io.EOF)
		wantCause(t, receive(t, b.causes, "SessionClosed"), io.EOF)
		return
	}
	if cause := receive(t, b.closed, "OnClose"); !check(cause) {
		t.Errorf("cause is %v", cause)
	}
	if cause := receive(t, b.causes, "SessionClosed"); !check(cause) {
		t.Errorf("the observer was told %v", cause)
	}
}

var places = []string{"Configure", "OnOpen", "OnMessage", "OnCron", "OnClose", "Decode"}

// TestG4FailingCallbackEndsOneSession has each callback fail in each way for
// one of two sessions.
func TestG4FailingCallbackEndsOneSession(t *testing.T) {
	for _, place := range places {
		for _, f := range failures {
			t.Run(place+" "+f.name, func(t *testing.T) {
				eachTransport(t, func(t *testing.T, tr transport) {
					for _, workers := range []int{0, 2} {
						b := newSaboteur(place, f.fail)
						cfg := getty.Config{Workers: workers, CronPeriod: time.Millisecond, Observer: b}
						srv, url := serve(t, tr, b, cfg, func(s *getty.Server[string]) { s.Configure = b.configure })
						other := peer(t, url)
						ask(t, other, "before")
						b.armed.Store(true)
						b.provoke(t, peer(t, url))
						b.judge(t, srv, f.check)
						ask(t, other, "after")
						ask(t, peer(t, url), "new")
						wantNoMore(t, b.recorder)
					}
				})
			})
		}
	}
}

// TestG4FailingCallbackOfAClient is the same for a dialed session.
func TestG4FailingCallbackOfAClient(t *testing.T) {
	for _, place := range places {
		for _, f := range failures {
			t.Run(place+" "+f.name, func(t *testing.T) {
				eachTransport(t, func(t *testing.T, tr transport) {
					b := newSaboteur(place, f.fail)
					b.armed.Store(true)
					cfg := getty.Config{CronPeriod: time.Millisecond, Observer: b}
					c, nc := dialRaw(t, tr, spec{events: b, cfg: cfg, configure: b.configure})
					b.provoke(t, nc)
					b.judge(t, c, f.check)
					finish(t, c)
					wantNoMore(t, b.recorder)
				})
			})
		}
	}
}

// TestG4DialReturnsTheFailure: who dials learns why there is no session.
func TestG4DialReturnsTheFailure(t *testing.T) {
	for _, f := range failures {
		eachTransport(t, func(t *testing.T, tr transport) {
			_, url := serve(t, tr, echo, getty.Config{}, nil)
			r := record()
			r.onOpen = func(*session) error { f.fail(); return nil }
			s, err := getty.Dial(within(t), url, codec.Line{}, r, getty.Config{TLS: clientTLS()})
			if s != nil || !f.check(err) {
				t.Errorf("%s: Dial: %v, %v", f.name, s, err)
			}
			if cause := receive(t, r.closed, "OnClose"); !f.check(cause) {
				t.Errorf("%s: cause is %v", f.name, cause)
			}
		})
	}
}

// halfway is a codec that fails in the midst of a message that begins with "!".
type halfway struct {
	codec.Line
	fail func() error
}

func (h *halfway) Append(dst []byte, msg string) ([]byte, error) {
	if strings.HasPrefix(msg, "!") {
		dst = append(dst, "half of it"...)
		return dst, h.fail()
	}
	return h.Line.Append(dst, msg)
}

// TestG4FailingAppendSendsNothing: an encoder that fails in any way leaves the
// stream as it was and the session open.
func TestG4FailingAppendSendsNothing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fail  func() error
		check func(error) bool
	}{
		{"panic", func() error { misbehave("value"); return nil }, panicked("value")},
		{"error", func() error { return errTest }, func(err error) bool { return errors.Is(err, errTest) }},
		{"Goexit", func() error { runtime.Goexit(); return nil }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				r := record()
				_, nc := open(t, spec{events: r, configure: with(&halfway{fail: tt.fail})})
				s := receive(t, r.opened, "OnOpen")
				for _, m := range []string{"one", "!", "two", "!"} {
					var sending sync.WaitGroup
					err, returned := error(nil), false
					sending.Go(func() {
						err = s.Send(m)
						returned = true
					})
					sending.Wait()
					switch {
					case m != "!":
						must(t, err)
					case returned && (tt.check == nil || !tt.check(err) || !getty.SafeToRetry(err)):
						t.Errorf("Send: %v", err)
					case !returned && tt.check != nil:
						t.Error("Send has not returned")
					}
				}
				must(t, s.Close())
				if got := readAll(t, nc); got != "one\ntwo\n" {
					t.Errorf("peer got %q", got)
				}
				nc.Close()
				wantEnd(t, r, nil)
			})
		})
	}
}

// TestG4FailingAppendInsideOnMessage: the handler decides whether the error of
// its Send ends the session, except that a Goexit ends the handler itself.
func TestG4FailingAppendInsideOnMessage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fail   func() error
		ignore bool
		want   string
		check  func(error) bool
	}{
		{"ignored", func() error { misbehave("value"); return nil }, true, "1\n3\n", func(err error) bool { return errors.Is(err, io.EOF) }},
		{"returned", func() error { misbehave("value"); return nil }, false, "1\n", panicked("value")},
		{"Goexit", func() error { runtime.Goexit(); return nil }, true, "1\n", func(err error) bool { return errors.Is(err, getty.ErrGoexit) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				for _, workers := range []int{0, 2} {
					r := record()
					r.onMessage = func(s *session, m string) error {
						if err := s.Send(m); err != nil && !tt.ignore {
							return err
						}
						return nil
					}
					_, nc := open(t, spec{events: r, configure: with(&halfway{fail: tt.fail}), cfg: getty.Config{Workers: workers}})
					write(t, nc, "1\n!\n3\n")
					halfClose(t, nc)
					if got := readAll(t, nc); got != tt.want {
						t.Errorf("peer got %q, want %q", got, tt.want)
					}
					nc.Close()
					if cause := receive(t, r.closed, "OnClose"); !tt.check(cause) {
						t.Errorf("cause is %v", cause)
					}
				}
			})
		})
	}
}

// blind is an observer that panics at everything.
type blind struct{ calls atomic.Int32 }

func (b *blind) SessionOpened(getty.SessionInfo)                            { b.fail() }
func (b *blind) SessionClosed(getty.SessionInfo, getty.SessionStats, error) { b.fail() }
func (b *blind) ConnFailed(string, net.Addr, error)                         { b.fail() }

func (b *blind) fail() {
	b.calls.Add(1)
	misbehave("blind")
}

// Handle makes it a log handler, too.
func (b *blind) Handle(context.Context, slog.Record) error { b.fail(); return nil }

func (b *blind) Enabled(context.Context, slog.Level) bool { return true }
func (b *blind) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *blind) WithGroup(string) slog.Handler            { return b }

// wantRefused connects, and waits for the end.
func wantRefused(t *testing.T, url string) {
	t.Helper()
	nc, err := rawDial(url)
	must(t, err)
	_, _ = io.Copy(io.Discard, nc)
	nc.Close()
}

// leaver is an observer that ends the goroutines it is called on.
type leaver struct{ calls atomic.Int32 }

func (l *leaver) SessionOpened(getty.SessionInfo)                            {}
func (l *leaver) SessionClosed(getty.SessionInfo, getty.SessionStats, error) { l.leave() }
func (l *leaver) ConnFailed(string, net.Addr, error)                         { l.leave() }

func (l *leaver) leave() {
	l.calls.Add(1)
	runtime.Goexit()
}

// TestObserverThatExitsLeaksNothing, though it must not: neither a conn, nor a
// place in a pool, nor the end of Shutdown.
func TestObserverThatExitsLeaksNothing(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport) {
		t.Run("refused", func(t *testing.T) {
			l := new(leaver)
			srv, url := serve(t, tr, echo, getty.Config{Observer: l, MaxSessions: 1}, func(srv *getty.Server[string]) {
				srv.Farewell = func(s *session) { _ = s.Close() }
			})
			nc := peer(t, url)
			ask(t, nc, "one")
			wantRefused(t, url)
			nc.Close()
			must(t, srv.Shutdown(within(t)))
			if n := l.calls.Load(); n != 2 {
				t.Errorf("the observer was told %d times, want of a refused and a closed one", n)
			}
		})
		t.Run("abandoned", func(t *testing.T) {
			l := new(leaver)
			srv, url := serve(t, tr, echo, getty.Config{Observer: l}, func(srv *getty.Server[string]) {
				srv.Configure = func(*session, *setup) error { return errTest }
			})
			nc := peer(t, url)
			_, _ = io.Copy(io.Discard, nc)
			nc.Close()
			must(t, srv.Shutdown(within(t)))
			if n := l.calls.Load(); n != 1 {
				t.Errorf("the observer was told %d times, want of one that failed", n)
			}
		})
		t.Run("pool", func(t *testing.T) {
			_, url := serve(t, tr, echo, getty.Config{}, nil)
			l, r := new(leaver), record()
			c := pooled(t, url, r, getty.ClientConfig{Config: getty.Config{Observer: l}})
			for range 3 {
				must(t, c.Connect(within(t)))
				must(t, receive(t, r.opened, "OnOpen").Close())
				receive(t, r.closed, "OnClose")
			}
			must(t, c.Shutdown(within(t)))
			if n := l.calls.Load(); n < 3 {
				t.Errorf("the observer was told %d times", n)
			}
		})
	})
}

// TestG4FailingObserverEndsNothing: a panic of it, or of a log handler, ended the
// process.
func TestG4FailingObserverEndsNothing(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		b, log := new(blind), new(blind)
		srv, url := serve(t, tr, echo, getty.Config{Observer: b, Logger: slog.New(log), MaxSessions: 1}, nil)
		nc := peer(t, url)
		ask(t, nc, "one")
		wantRefused(t, url)
		ask(t, nc, "two")
		nc.Close()
		finish(t, srv)
		if n := b.calls.Load(); n != 3 {
			t.Errorf("the observer was told %d times, want of an opened, a closed and a refused one", n)
		}
		if log.calls.Load() == 0 {
			t.Error("nothing was logged")
		}
	})
}
