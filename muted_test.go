// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/gettytest"
)

// sendUntilItFails answers until the conn takes nothing more.
func sendUntilItFails(s *session) error {
	for {
		err := s.Send("an answer")
		if err == nil {
			err = s.Flush()
		}
		if err != nil {
			return err
		}
	}
}

func TestD08RequestsOfAPeerThatClosedAreHandled(t *testing.T) {
	const n = 200
	for _, tt := range []struct {
		name    string
		workers int
	}{{"inline", 0}, {"workers", 2}} {
		t.Run(tt.name, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				r, gone := record(), newGate(t)
				answered := false
				r.onMessage = func(s *session, m string) error {
					gone.wait()
					if !answered {
						answered = true
						if err := sendUntilItFails(s); s.Context().Err() != nil {
							t.Errorf("a write that failed with %v ended the session before what had been received was handled", err)
						}
					}
					if err := s.Send("an answer"); !errors.Is(err, getty.ErrClosed) || !getty.SafeToRetry(err) {
						t.Errorf("send after a failed write: %v", err)
					}
					return nil
				}
				ep, nc := open(t, spec{events: r, cfg: getty.Config{Workers: tt.workers}})
				pad := strings.Repeat(".", 100) // in all more than one read takes, and less than the smallest receive window
				var all []byte
				for i := range n {
					all = append(strconv.AppendInt(all, int64(i), 10), pad+"\n"...)
				}
				write(t, nc, string(all))
				must(t, nc.Close())
				gone.open()
				cause := receive(t, r.closed, "OnClose")
				if cause == nil || errors.Is(cause, io.EOF) {
					t.Errorf("cause is %v, want that of the write", cause)
				}
				for i := range n {
					if got := receive(t, r.messages, "message"); got != strconv.Itoa(i)+pad {
						t.Fatalf("message %d is %.10q", i, got)
					}
				}
				finish(t, ep)
				wantNoMore(t, r)
			})
		})
	}
}

// mute is a conn whose writes fail once it is broken, and whose reads go on.
type mute struct {
	net.Conn
	broken *atomic.Bool
}

func (m mute) Write(p []byte) (int, error) {
	if m.broken.Load() {
		return 0, errTest
	}
	return m.Conn.Write(p)
}

// inMutedSession opens a session and has one of its writes fail.
func inMutedSession(t *testing.T, cfg getty.Config, test func(t *testing.T, v *virtual, nc net.Conn, s *session, r *recorder)) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		var broken atomic.Bool
		v.wrap = func(nc net.Conn) net.Conn { return mute{nc, &broken} }
		r := record()
		v.serve(t, r, cfg, nil)
		nc := v.dial(t)
		s := <-r.opened
		broken.Store(true)
		_ = s.Send("lost")
		synctest.Wait()
		wantOpen(t, r)
		test(t, v, nc, s, r)
	})
}

func TestD08AMutedSessionEndsWhenThePeerIsSilent(t *testing.T) {
	const pause = 600 * time.Millisecond
	inMutedSession(t, getty.Config{CloseTimeout: time.Second}, func(t *testing.T, v *virtual, nc net.Conn, _ *session, r *recorder) {
		v.tape(nc) // of the TLS session's tickets
		const n = 3
		for i := range n {
			time.Sleep(pause)
			write(t, nc, strconv.Itoa(i)+"\n")
			synctest.Wait()
		}
		v.wantEndAt(t, r, n*pause+time.Second, errTest)
		if len(r.messages) != n {
			t.Errorf("%d of %d messages before OnClose", len(r.messages), n)
		}
	})
}

func TestD08AHandlersTimeIsNotThePeersSilence(t *testing.T) {
	inMutedSession(t, getty.Config{CloseTimeout: time.Second}, func(t *testing.T, v *virtual, nc net.Conn, _ *session, r *recorder) {
		v.tape(nc)
		r.onMessage = func(*session, string) error { time.Sleep(time.Minute); return nil }
		write(t, nc, "1\n")
		synctest.Wait()
		write(t, nc, "2\n") // arrives while the first is handled
		v.wantEndAt(t, r, 2*time.Minute+time.Second, errTest)
		if len(r.messages) != 2 {
			t.Errorf("%d of 2 messages before OnClose", len(r.messages))
		}
	})
}

func TestD08CloseOfAMutedSession(t *testing.T) {
	inMutedSession(t, getty.Config{}, func(t *testing.T, _ *virtual, _ net.Conn, s *session, r *recorder) {
		must(t, s.Close())
		synctest.Wait()
		wantCause(t, receive(t, r.closed, "OnClose"), errTest) // at once, and the first cause
	})
}

func TestD08AFailedWriteWakesWhoWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		network := gettytest.NewNetwork(gettytest.Faults{Buffer: 1})
		v := &virtual{Network: network, start: time.Now()}
		v.wrap = func(nc net.Conn) net.Conn { return mute{nc, &broken} }
		r := record()
		v.serve(t, r, getty.Config{HighWatermark: 4 << 10, WriteTimeout: time.Hour}, nil)
		nc := v.dial(t)
		s := <-r.opened
		for s.TrySend("some bytes") == nil {
		}
		room := s.Writable()
		sent := make(chan error, 2)
		for range cap(sent) {
			go func() { sent <- s.Send("waits for room") }()
		}
		synctest.Wait()
		broken.Store(true)
		v.tape(nc) // the write under way goes on, and the next one fails
		synctest.Wait()
		select {
		case <-room:
		default:
			t.Error("Writable is not closed")
		}
		for range cap(sent) {
			if err := <-sent; !errors.Is(err, getty.ErrClosed) || !errors.Is(err, errTest) || !getty.SafeToRetry(err) {
				t.Errorf("a send that waited for room: %v", err)
			}
		}
		v.wantEndAt(t, r, v.since()+getty.DefaultCloseTimeout, errTest)
	})
}
