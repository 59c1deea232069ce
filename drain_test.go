// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty/codec"
)

// scriptConn is a conn that takes bytes as a test says, since no socket can be
// made to do so, nor works in virtual time. It is in the package for that.
type scriptConn struct {
	net.Conn
	input chan string   // what the peer sends
	ended chan struct{} // by close
	once  sync.Once
	take  func(p []byte, wait bool) (int, error)
}

func newScriptConn(take func(p []byte, wait bool) (int, error)) *scriptConn {
	end, _ := net.Pipe() // for its addresses
	return &scriptConn{Conn: end, input: make(chan string, 1), ended: make(chan struct{}), take: take}
}

func (c *scriptConn) read(in *window) error {
	select {
	case data := <-c.input:
		in.filled(copy(in.space(), data))
		return nil
	case <-c.ended:
		return io.EOF
	}
}

func (c *scriptConn) tryWrite(p []byte) (int, error) { return c.takeSome(p, false) }
func (c *scriptConn) write(p []byte) (int, error)    { return c.takeSome(p, true) }

func (c *scriptConn) takeSome(p []byte, wait bool) (int, error) {
	select {
	case <-c.ended:
		return 0, net.ErrClosed
	default:
	}
	if len(p) == 0 {
		return 0, nil
	}
	return c.take(p, wait)
}

func (c *scriptConn) closeWrite() error { return nil }
func (*scriptConn) drop()               {}
func (c *scriptConn) netConn() net.Conn { return c.Conn }

func (c *scriptConn) close() error {
	c.once.Do(func() { close(c.ended) })
	return c.Close()
}

// scripted opens a session over sc. It ends with the test.
func scripted(t *testing.T, sc *scriptConn, events EventListener[string], cfg Config) *Session[string] {
	t.Helper()
	ep := new(endpoint)
	if err := ep.init(cfg, "Config"); err != nil {
		t.Fatal(err)
	}
	s := newSession(ep, "script", sc, codec.Line{}, events)
	if err := ep.enter(&s.core); err != nil {
		t.Fatal(err)
	}
	if err := s.start(nil, false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cut(nil)
		if err := ep.g.wait(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// noting keeps the cause of a session's end.
func noting(cause *error) EventFuncs[string] {
	return EventFuncs[string]{Close: func(_ *Session[string], err error) { *cause = err }}
}

func TestG3ASenderWritesOnceAndLeavesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var tries, waits int
		s := scripted(t, newScriptConn(func(p []byte, wait bool) (int, error) {
			if wait {
				waits++
				time.Sleep(time.Second)
				return len(p), nil
			}
			tries++
			return 0, errAgain
		}), NopEvents[string]{}, Config{})
		if err := s.Send("x"); err != nil {
			t.Fatal(err)
		}
		if passed := time.Since(start); passed != 0 {
			t.Errorf("the sender was kept for %v", passed)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if tries != 2 || waits != 1 {
			t.Errorf("%d writes without and %d with waiting, want the sender's, the drainer's, and one", tries, waits)
		}
	})
}

func TestG3WhatGathersMeanwhileLeavesInOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written []string
		s := scripted(t, newScriptConn(func(p []byte, wait bool) (int, error) {
			if !wait && len(written) == 0 {
				return 0, errAgain
			}
			time.Sleep(time.Second)
			written = append(written, string(p))
			return len(p), nil
		}), NopEvents[string]{}, Config{})
		for _, line := range []string{"1", "2", "3", "4"} {
			if err := s.Send(line); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Join(written, "|"); got != "1\n|2\n3\n4\n" {
			t.Errorf("writes were %q", got)
		}
	})
}

func TestD28EveryWaitHasTheWholeWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		calls := 0
		sc := newScriptConn(func(p []byte, wait bool) (int, error) {
			calls++
			switch calls {
			case 1, 2:
				return 0, errAgain // so that the drainer waits once
			default:
				// Then each write takes its time, and there is always progress.
				time.Sleep(900 * time.Millisecond)
				return 1, errAgain
			}
		})
		s := scripted(t, sc, noting(&cause), Config{WriteTimeout: time.Second})
		if err := s.Send(strings.Repeat("x", 100)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if s.Context().Err() != nil {
			t.Errorf("session ended after %d writes, cause %v", calls, cause)
		}
	})
}

func TestD26WrittenIsExact(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct{ left, written int }{
		"nothing left":               {0, 0},
		"others' bytes in part":      {5, 0},
		"others' bytes and no other": {6, 0},
		"one byte":                   {7, 1},
		"all but one":                {6 + 8 - 1, 7},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cause, sent error
				sc := newScriptConn(func(p []byte, _ bool) (int, error) { return c.left, broken })
				events := noting(&cause)
				events.Message = func(s *Session[string], m string) error {
					if m == "first" {
						return s.Send("12345") // collected, since more waits
					}
					sent = s.Send("abcdefg")
					return nil
				}
				s := scripted(t, sc, events, Config{})
				sc.input <- "first\nsecond\n"
				synctest.Wait()
				var se *SendError
				if !errors.As(sent, &se) || se.Written != c.written || !errors.Is(sent, broken) {
					t.Errorf("error of the send is %v, want %d bytes written", sent, c.written)
				}
				if SafeToRetry(sent) != (c.written == 0) {
					t.Errorf("SafeToRetry is %v after %d bytes", SafeToRetry(sent), c.written)
				}
				time.Sleep(DefaultCloseTimeout)
				synctest.Wait()
				if !errors.Is(cause, broken) || s.Context().Err() == nil {
					t.Errorf("cause of the end is %v, want the socket's error", cause)
				}
				if want := 6 + 8 - c.left; s.Stats().Pending != want {
					t.Errorf("%d bytes are pending, want %d", s.Stats().Pending, want)
				}
			})
		})
	}
}

func TestD26AWriteThatFailsInTheDrainerEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		broken, written := errors.New("broken"), 0
		s := scripted(t, newScriptConn(func(p []byte, wait bool) (int, error) {
			switch {
			case wait && written > 0:
				return 0, broken
			case wait:
				written = 3
				return 3, errAgain
			}
			return 0, errAgain
		}), noting(&cause), Config{})
		if err := s.Send("abcdefg"); err != nil { // accepted, not delivered
			t.Fatal(err)
		}
		time.Sleep(DefaultCloseTimeout)
		synctest.Wait()
		if !errors.Is(cause, broken) {
			t.Errorf("cause of the end is %v, want the socket's error", cause)
		}
		if st := s.Stats(); st.BytesOut != 3 || st.Pending != 5 {
			t.Errorf("stats are %+v, want 3 bytes out and 5 lost", st)
		}
		if err := s.Send("more"); !errors.Is(err, ErrClosed) || !SafeToRetry(err) {
			t.Errorf("error of a later send is %v", err)
		}
	})
}

func TestD27CollectedBytesAreNotTheConsumersFault(t *testing.T) {
	for _, policy := range []Policy{PolicyBlock, PolicyFail, PolicyDrop, PolicyClose} {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, taken := time.Now(), 0
				sc := newScriptConn(func(p []byte, _ bool) (int, error) {
					taken += len(p)
					return len(p), nil
				})
				events := EventFuncs[string]{Message: func(s *Session[string], m string) error {
					return s.Send(strings.Repeat(m, 100))
				}}
				s := scripted(t, sc, events, Config{HighWatermark: 256, Backpressure: policy})
				sc.input <- strings.Repeat("x\n", 100)
				synctest.Wait()
				if want := 100 * 101; taken != want || s.Stats().Dropped != 0 || s.Context().Err() != nil {
					t.Errorf("a conn that takes everything got %d of %d bytes, stats %+v", taken, want, s.Stats())
				}
				if passed := time.Since(start); passed != 0 {
					t.Errorf("it took %v", passed)
				}
			})
		})
	}
}
