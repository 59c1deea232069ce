// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/gettytest"
)

// fill sends until the session is at its high watermark and nothing moves any
// more, since the peer does not read. It returns how many messages were accepted.
func fill(t testing.TB, s *session, text string) (n int) {
	t.Helper()
	for stuck := 0; stuck < 5; {
		switch err := s.TrySend(text); {
		case err == nil:
			n++
			stuck = 0
		case errors.Is(err, getty.ErrBackpressure):
			wantSendError(t, err, getty.ErrBackpressure)
			// What the kernel has not taken for a while it will not take, even if the writer had to wait for a processor.
			select {
			case <-s.Writable():
				stuck = 0
			case <-time.After(40 * time.Millisecond):
				stuck++
			}
		default:
			t.Fatal(err)
		}
	}
	return n
}

// patient are limits that no test reaches, but for what it sets itself.
func patient(high int, policy getty.Policy) getty.Config {
	return getty.Config{HighWatermark: high, Backpressure: policy, WriteTimeout: time.Minute}
}

var kilobyte = strings.Repeat("k", 1<<10)

// countLines reads until the end of the stream and returns how many lines came.
func countLines(t testing.TB, nc net.Conn) int {
	t.Helper()
	n, b := 0, make([]byte, 64<<10)
	for {
		m, err := nc.Read(b)
		n += strings.Count(string(b[:m]), "\n")
		if errors.Is(err, io.EOF) {
			return n
		}
		must(t, err)
	}
}

func TestD27PolicyBlockWaitsForWriteTimeout(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const timeout = 200 * time.Millisecond
		r := record()
		cfg := patient(64<<10, getty.PolicyBlock)
		cfg.WriteTimeout = timeout
		s, _ := accepted(t, tr, r, cfg, nil)
		// Until the kernel takes no more, the session neither, and the stalled write
		// has ended it, which may come a moment before or after a send gives up.
		for ended := false; !ended; {
			start := time.Now()
			err := s.Send(kilobyte)
			waited := time.Since(start)
			if err == nil {
				continue
			}
			wantSendError(t, err, getty.ErrWriteTimeout)
			ended = errors.Is(err, getty.ErrClosed)
			if !ended && waited < timeout {
				t.Errorf("the send waited for %v only", waited)
			}
		}
		wantEnd(t, r, getty.ErrWriteTimeout)
	})
}

func TestD27PolicyFailRefusesAndTheSessionGoesOn(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		s, nc := accepted(t, tr, record(), patient(64<<10, getty.PolicyFail), nil)
		n := fill(t, s, kilobyte)
		for range 10 {
			wantSendError(t, s.Send(kilobyte), getty.ErrBackpressure)
			wantSendError(t, s.SendContext(t.Context(), kilobyte), getty.ErrBackpressure)
			wantSendError(t, s.SendFrame(t.Context(), []byte("frame\n")), getty.ErrBackpressure)
		}
		got := make(chan int, 1)
		go func() { got <- countLines(t, nc) }()
		ended(t, s.Writable(), "room")
		must(t, s.Send(kilobyte))
		must(t, s.Close())
		if got := receive(t, got, "end of the stream"); got != n+1 {
			t.Errorf("peer got %d messages, %d were accepted", got, n+1)
		}
	})
}

func TestD27PolicyDropLeavesOutAndCounts(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		s, nc := accepted(t, tr, record(), patient(64<<10, getty.PolicyDrop), nil)
		n := fill(t, s, kilobyte)
		for range 10 {
			must(t, s.Send(kilobyte))
		}
		if st := s.Stats(); st.Dropped != 10 || st.MessagesOut != int64(n) {
			t.Errorf("stats are %+v, want %d messages and 10 dropped", st, n)
		}
		got := make(chan int, 1)
		go func() { got <- countLines(t, nc) }()
		ended(t, s.Writable(), "room")
		must(t, s.Send(kilobyte))
		must(t, s.Close())
		if got := receive(t, got, "end of the stream"); got != n+1 {
			t.Errorf("peer got %d messages, %d were accepted", got, n+1)
		}
	})
}

func TestD27PolicyCloseEndsTheSlowConsumer(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		s, _ := accepted(t, tr, r, patient(256<<10, getty.PolicyClose), nil)
		fill(t, s, kilobyte)
		wantSendError(t, s.Send(kilobyte), getty.ErrSlowConsumer)
		wantEnd(t, r, getty.ErrSlowConsumer)
		wantSendError(t, s.Send(kilobyte), getty.ErrClosed)
		if s.Stats().Pending == 0 {
			t.Error("the bytes that were lost are not pending any more")
		}
	})
}

func TestD27TrySendNeverWaits(t *testing.T) {
	for _, policy := range []getty.Policy{getty.PolicyBlock, getty.PolicyFail, getty.PolicyDrop, getty.PolicyClose} {
		t.Run(policy.String(), func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				r := record()
				s, nc := accepted(t, tr, r, patient(64<<10, policy), nil)
				n := fill(t, s, kilobyte)
				returns(t, "TrySend", func() {
					for range 100 {
						wantSendError(t, s.TrySend(kilobyte), getty.ErrBackpressure)
					}
				})
				if len(r.closed) > 0 || s.Stats().Dropped > 0 {
					t.Error("TrySend followed the policy")
				}
				must(t, s.Close())
				if got := countLines(t, nc); got != n {
					t.Errorf("peer got %d messages, %d were accepted", got, n)
				}
			})
		})
	}
}

func TestD27WritableReportsTheLowWatermark(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const high, low = 256 << 10, 16 << 10
		cfg := patient(high, getty.PolicyFail)
		cfg.LowWatermark = low
		s, nc := accepted(t, tr, record(), cfg, nil)
		ended(t, s.Writable(), "room at the beginning")
		fill(t, s, kilobyte)
		writable := s.Writable()
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		ended(t, writable, "room")
		// Nobody sends, so that it can only have become less since then.
		if pending := s.Stats().Pending; pending > low {
			t.Errorf("%d bytes are pending, the low watermark is %d", pending, low)
		}
		must(t, s.TrySend(kilobyte))
	})
}

func TestD27WritableReportsTheEndOfTheSession(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		s, _ := accepted(t, tr, record(), patient(64<<10, getty.PolicyFail), nil)
		fill(t, s, kilobyte)
		before := s.Writable()
		must(t, s.Close())
		ended(t, before, "Writable after Close")
		ended(t, s.Writable(), "Writable of a closed session")
	})
}

func TestD27CloseWakesWhoWaitsForRoom(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		s, _ := accepted(t, tr, record(), patient(64<<10, getty.PolicyBlock), nil)
		fill(t, s, kilobyte)
		const senders = 10
		results := make(chan error, senders)
		var begun sync.WaitGroup
		for range senders {
			begun.Add(1)
			go func() {
				begun.Done()
				results <- s.Send(kilobyte)
			}()
		}
		begun.Wait()
		must(t, s.Close())
		for range senders {
			wantSendError(t, receive(t, results, "result of a send"), getty.ErrClosed)
		}
	})
}

func TestG5WhatIsPendingIsBounded(t *testing.T) {
	const high, senders = 64 << 10, 16
	eachTransport(t, func(t *testing.T, tr transport) {
		s, nc := accepted(t, tr, record(), patient(high, getty.PolicyBlock), nil)
		var highest atomic.Int64
		sample := func() {
			for p := int64(s.Stats().Pending); p > highest.Load(); {
				highest.Store(p)
			}
		}
		text := strings.Repeat("x", 10_000)
		var sending sync.WaitGroup
		for sender := range senders {
			sending.Go(func() {
				for i := range 60 {
					if err := s.Send(numbered(sender, i, len(text))); err != nil {
						t.Error(err)
						return
					}
					sample()
				}
			})
		}
		ended(t, stalled(s), "stall") // the peer does not read yet
		sample()
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		sending.Wait()
		most := int64(high + len(numbered(senders, 60, len(text))) + 1)
		if got := highest.Load(); got > most || got < high {
			t.Errorf("up to %d bytes were pending, want %d to %d", got, high, most)
		}
	})
}

// stalled is closed once a send would wait.
func stalled(s *session) <-chan struct{} {
	ch := make(chan struct{})
	go func() {
		defer close(ch)
		for {
			select {
			case <-s.Writable():
			case <-time.After(10 * time.Millisecond):
				return
			}
		}
	}()
	return ch
}

func TestG5BlockingInsideOnMessageStopsReading(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		const buffer, high = 8 << 10, 16 << 10
		v.SetFaults(gettytest.Faults{Buffer: buffer})
		r := record()
		r.onMessage = func(s *session, m string) error { return s.Send(strings.Repeat(m, 10)) }
		srv := v.serve(t, r, patient(high, getty.PolicyBlock), nil)
		nc := v.dial(t)
		const lines = 4000
		go func() {
			for range lines { // until the server takes no more
				if _, err := io.WriteString(nc, kilobyte[:100]+"\n"); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		st := srv.Stats()
		// The handler waits from the high watermark on until the low one, its half.
		if st.Pending <= high/2 || st.Pending > high+1001 {
			t.Errorf("%d bytes are pending, want more than the low watermark, at most the high one and a message", st.Pending)
		}
		// Its own 64 KB and what the conn holds: the rest waits with the peer.
		if st.BytesIn > 100<<10 {
			t.Errorf("%d bytes were read while the handler is blocked", st.BytesIn)
		}
		handled := len(r.messages)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := srv.Stats().BytesIn; got != st.BytesIn || len(r.messages) != handled {
			t.Errorf("reading went on: %d bytes, then %d", st.BytesIn, got)
		}
		tp := v.tape(nc)
		if got := strings.Count(tp.text(), "\n"); got != lines {
			t.Errorf("peer got %d answers after it read, want %d", got, lines)
		}
	})
}

func TestG5TwoPeersThatAmplifyEndWithErrWriteTimeout(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		cfg := getty.Config{HighWatermark: 64 << 10, WriteTimeout: 150 * time.Millisecond}
		text := strings.Repeat("a", 32<<10)
		twice := func(s *session, m string) error {
			return errors.Join(s.Send(m), s.Send(m))
		}
		server, client := record(), record()
		server.onMessage, client.onMessage = twice, twice
		server.messages, client.messages = make(chan string, 1<<20), make(chan string, 1<<20)
		_, url := serve(t, tr, server, cfg, nil)
		must(t, dial(t, url, client, cfg).Send(text))
		causes := []error{receive(t, server.closed, "end of the server's session"), receive(t, client.closed, "end of the client's")}
		if !errors.Is(causes[0], getty.ErrWriteTimeout) && !errors.Is(causes[1], getty.ErrWriteTimeout) {
			t.Errorf("causes are %v, want ErrWriteTimeout for one at least", causes)
		}
	})
}

func TestD28ASlowButSteadyReaderIsNotTimedOut(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		const chunk = 32 << 10
		v.SetFaults(gettytest.Faults{Buffer: chunk})
		r := record()
		cfg := getty.Config{HighWatermark: 1 << 20, WriteTimeout: time.Second}
		v.serve(t, r, cfg, nil)
		nc := v.dial(t)
		s := receive(t, r.opened, "OnOpen")
		text := strings.Repeat("x", 1<<20)
		must(t, s.Send(text))
		b := make([]byte, chunk)
		for range 20 { // for 18 s, and never more than is owed
			time.Sleep(900 * time.Millisecond)
			_, err := io.ReadFull(below(nc), b)
			must(t, err)
			wantOpen(t, r)
		}
		at := v.since() + time.Second
		v.wantEndAt(t, r, at, getty.ErrWriteTimeout)
	})
}

func TestD28AStalledReaderIsTimedOut(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{WriteTimeout: time.Minute}, nil)
		v.dial(t)
		s := receive(t, r.opened, "OnOpen")
		time.Sleep(time.Hour) // silence is not a stalled write
		must(t, s.Send(strings.Repeat("x", 1<<20)))
		v.wantEndAt(t, r, time.Hour+time.Minute, getty.ErrWriteTimeout)
	})
}

func TestD28AStalledReaderHoldsUpNoClose(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		var lost int
		r.onClose = func(s *session, _ error) { lost = s.Stats().Pending }
		v.serve(t, r, getty.Config{WriteTimeout: time.Minute}, nil)
		v.dial(t)
		s := receive(t, r.opened, "OnOpen")
		must(t, s.Send(strings.Repeat("x", 1<<20)))
		time.Sleep(30 * time.Second)
		must(t, s.Close()) // the first cause counts, the stalled write still ends it
		v.wantEndAt(t, r, time.Minute, nil)
		if lost == 0 {
			t.Error("OnClose did not learn that bytes were lost")
		}
	})
}

// With real sockets, where the kernel says how much it takes.
func TestD28StalledSessionsEndOverEachTransport(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		for _, closing := range []bool{false, true} {
			r := record()
			s, _ := accepted(t, tr, r, getty.Config{WriteTimeout: 50 * time.Millisecond}, nil)
			must(t, s.Send(strings.Repeat("x", 16<<20)))
			want := getty.ErrWriteTimeout
			if closing {
				must(t, s.Close())
				want = nil
			}
			wantEnd(t, r, want)
			if s.Stats().Pending == 0 {
				t.Error("nothing was pending")
			}
		}
	})
}

func TestSendContextEndsItsWaitingOnly(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		s, nc := accepted(t, tr, record(), patient(64<<10, getty.PolicyBlock), nil)
		// With room there is nothing to wait for.
		ctx, cancel := context.WithCancelCause(context.Background())
		cause := errors.New("no more time")
		cancel(cause)
		must(t, s.SendContext(ctx, kilobyte))
		n := fill(t, s, kilobyte) + 1
		wantSendError(t, s.SendContext(ctx, kilobyte), cause)
		wantSendError(t, s.SendFrame(ctx, []byte("x\n")), cause)
		must(t, s.Close())
		if got := countLines(t, nc); got != n {
			t.Errorf("peer got %d messages, %d were accepted", got, n)
		}
	})
}
