// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

func TestD22TheLimitsOfACallStayWithTheCall(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		v.SetFaults(gettytest.Faults{Buffer: 4 << 10})
		r := record()
		v.serve(t, r, getty.Config{HighWatermark: 8 << 10, WriteTimeout: time.Hour}, nil)
		nc := v.dial(t)
		s := receive(t, r.opened, "OnOpen")
		full := strings.Repeat("x", 20<<10)
		must(t, s.Send(full))
		for _, limit := range []time.Duration{time.Millisecond, time.Second, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			start := time.Now()
			wantSendError(t, s.SendContext(ctx, "too late"), context.DeadlineExceeded)
			if waited := time.Since(start); waited != limit {
				t.Errorf("a send with a limit of %v waited for %v", limit, waited)
			}
			cancel()
		}
		// One without a limit of its own waits on, and all of them are over then.
		sent := make(chan error, 1)
		go func() { sent <- s.Send("in time") }()
		time.Sleep(30 * time.Minute)
		wantOpen(t, r)
		tp := v.tape(nc)
		if got, want := tp.text(), full+"\nin time\n"; got != want {
			t.Errorf("peer got %d bytes, want %d", len(got), len(want))
		}
		must(t, <-sent)
		time.Sleep(24 * time.Hour)
		must(t, s.Send("goes on"))
		if !strings.HasSuffix(tp.text(), "goes on\n") {
			t.Error("the session does not send any more")
		}
	})
}

// frames opens a session with []byte for messages and its raw peer.
func frames(t *testing.T, tr transport, events getty.EventListener[[]byte], cfg getty.Config) (*getty.Session[[]byte], net.Conn) {
	t.Helper()
	opened := make(chan *getty.Session[[]byte], 1)
	cfg.TLS = serverTLS()
	srv, err := getty.NewServer(codec.LengthField{}, events, cfg)
	must(t, err)
	srv.Configure = func(s *getty.Session[[]byte], _ *getty.Setup[[]byte]) error {
		opened <- s
		return nil
	}
	must(t, srv.Listen(tr.url(t)))
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	nc := asWritten(peer(t, srv.URLs()[0]))
	s := receive(t, opened, "session")
	for s.TrySend(nil) != nil { // Configure has not returned yet
		runtime.Gosched()
	}
	_, err = io.ReadFull(nc, make([]byte, 4))
	must(t, err)
	return s, nc
}

func TestD23TheCallersSlicesAreNeverModified(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		s, nc := frames(t, tr, getty.NopEvents[[]byte]{}, getty.Config{HighWatermark: 1 << 20})
		msg := bytes.Repeat([]byte("message "), 10_000)
		frame, err := codec.LengthField{}.Append(nil, bytes.Repeat([]byte("a frame "), 10_000))
		must(t, err)
		msg0, frame0 := bytes.Clone(msg), bytes.Clone(frame)
		encoded, err := codec.LengthField{}.Append(nil, msg)
		must(t, err)
		p, err := s.Prepare(msg)
		must(t, err)
		const rounds = 20 // more than the kernel takes at once
		go func() {
			for range rounds {
				for _, err := range []error{s.Send(msg), s.SendFrame(context.Background(), frame), s.SendPrepared(context.Background(), p)} {
					if err != nil {
						t.Error(err)
					}
				}
			}
		}()
		in := bufio.NewReader(nc)
		got := make([]byte, len(frame0))
		for i := range 3 * rounds {
			_, err := io.ReadFull(in, got)
			must(t, err)
			want := encoded
			if i%3 == 1 {
				want = frame0
			}
			if !bytes.Equal(got, want) {
				t.Fatal("the same slice arrived differently when it was sent again")
			}
		}
		if !bytes.Equal(msg, msg0) || !bytes.Equal(frame, frame0) {
			t.Error("sending changed the caller's slice")
		}
	})
}

func TestD23TheCallerMayReuseTheSliceAtOnce(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		s, nc := frames(t, tr, getty.NopEvents[[]byte]{}, getty.Config{HighWatermark: 1 << 30})
		msg := make([]byte, 100_000)
		const n = 100 // 10 MB, most of which waits for the peer
		for i := range n {
			for j := range msg {
				msg[j] = byte(i)
			}
			must(t, s.Send(msg))
		}
		clear(msg)
		got := make([]byte, 4+len(msg))
		for i := range n {
			_, err := io.ReadFull(nc, got)
			must(t, err)
			if bytes.Count(got[4:], []byte{byte(i)}) != len(msg) {
				t.Fatalf("message %d was changed after Send had returned", i)
			}
		}
	})
}

func TestD24ABigMessageIsNotSplitByOthers(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		s, nc := accepted(t, tr, record(), getty.Config{}, nil)
		big := strings.Repeat("B", 5<<20) // no kernel takes that at once
		bigLine := big + "\n"
		const senders, share = 4, 200
		var sending sync.WaitGroup
		defer sending.Wait()
		for range senders {
			sending.Go(func() {
				for i := range share {
					text := "small"
					if i == share/2 {
						text = big
					}
					if err := s.Send(text); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		lines := bufio.NewReaderSize(nc, 1<<20)
		for range senders * share {
			line, err := lines.ReadString('\n')
			must(t, err)
			if line != bigLine && line != "small\n" {
				t.Fatalf("a message of %d bytes: %.20q", len(line), line)
			}
		}
	})
}

// shrinking breaks the contract of Append.
type shrinking struct{ codec.Line }

func (shrinking) Append(dst []byte, msg string) ([]byte, error) {
	if msg == "shrink" {
		return dst[:0], nil
	}
	return codec.Line{}.Append(dst, msg)
}

func TestD25AFailedSendSaysSoAndTheSessionGoesOn(t *testing.T) {
	failure := errors.New("cannot be encoded")
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		s, nc := accepted(t, tr, r, getty.Config{}, with(&hooked{onAppend: func(m string) error {
			switch m {
			case "error":
				return failure
			case "panic":
				panic(failure)
			case "goexit":
				runtime.Goexit()
			}
			return nil
		}}))
		must(t, s.Send("before"))
		wantSendError(t, s.Send("error"), failure)
		wantSendError(t, s.Send("two\nlines"), codec.ErrBadMessage)
		var pe *getty.PanicError
		err := s.Send("panic")
		wantSendError(t, err, failure)
		if !errors.As(err, &pe) || len(pe.Stack) == 0 {
			t.Errorf("error of a panicking codec is %v, want a *PanicError with its stack", err)
		}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_ = s.Send("goexit")
		}()
		ended(t, gone, "goroutine that the codec ended")
		must(t, s.Send("after"))
		must(t, s.Close())
		if got := readAll(t, nc); got != "before\nafter\n" {
			t.Errorf("peer got %q", got)
		}
		_ = nc.Close()
		wantEnd(t, r, nil)
		if n := s.Stats().MessagesOut; n != 2 {
			t.Errorf("%d messages were counted, want 2", n)
		}
	})
}

func TestD25ACodecThatTakesBytesAwayIsFoundOut(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		r.onMessage = func(s *session, m string) error {
			must(t, s.Send("collected")) // in the buffer that would shrink
			if m == "1" {
				wantSendError(t, s.Send("shrink"), getty.ErrCodec)
			}
			return s.Send("after")
		}
		v.serve(t, r, getty.Config{}, with(shrinking{}))
		nc := v.dial(t)
		tp := v.tape(nc)
		write(t, nc, "1\n2\n")
		if got, want := tp.text(), strings.Repeat("collected\nafter\n", 2); got != want {
			t.Errorf("peer got %q, want %q", got, want)
		}
	})
}

func TestD25AFailingCodecInsideOnMessageEndsOnlyWhatItIsTold(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		failure := errors.New("cannot be encoded")
		r := record()
		r.onMessage = func(s *session, m string) error { return s.Send(m) }
		_, nc := accepted(t, tr, r, getty.Config{}, with(&hooked{onAppend: func(m string) error {
			if m == "error" {
				return failure
			}
			return nil
		}}))
		write(t, nc, "good\nerror\nnever\n") // the listener returns the error
		if got := readAll(t, nc); got != "good\n" {
			t.Errorf("peer got %q", got)
		}
		_ = nc.Close()
		wantEnd(t, r, failure)
	})
}

func TestD25SendsAfterTheEndFailWithItsCause(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		cause := errors.New("over")
		for _, want := range []error{nil, cause} {
			r := record()
			s, nc := accepted(t, tr, r, getty.Config{}, nil)
			s.CloseWithCause(want)
			p, err := s.Prepare("late")
			must(t, err)
			for _, err := range []error{
				s.Send("late"), s.TrySend("late"), s.SendContext(t.Context(), "late"),
				s.SendFrame(t.Context(), []byte("late\n")), s.SendPrepared(t.Context(), p),
			} {
				wantSendError(t, err, getty.ErrClosed)
				wantSendError(t, err, net.ErrClosed)
				if want != nil {
					wantSendError(t, err, want)
				}
			}
			_ = nc.Close()
			wantEnd(t, r, want)
		}
	})
}

func TestD26AfterAPartialWriteTheSessionEnds(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		s, nc := accepted(t, tr, r, getty.Config{}, nil)
		big := strings.Repeat("x", 24<<20)
		must(t, s.Send(big)) // accepted, and on its way
		part := make([]byte, 100<<10)
		_, err := io.ReadFull(below(nc), part)
		must(t, err)
		hangUp(below(nc))
		if cause := receive(t, r.closed, "OnClose"); cause == nil {
			t.Error("a partial write was no cause")
		}
		st := s.Stats()
		want := int64(len(big) + 1)
		if isWebSocket(tr) {
			want += 10 // the frame's header
		}
		got := st.BytesOut + int64(st.Pending)
		// If the reader sees the end first, a close frame of 4 bytes waits behind the message.
		if st.Pending == 0 || (got != want && (!isWebSocket(tr) || got != want+4)) {
			t.Errorf("stats are %+v, want the rest of %d bytes pending", st, want)
		}
		wantSendError(t, s.Send("more"), getty.ErrClosed)
	})
}

// hangUp closes a conn so that its peer gets a reset, where there is such a thing.
func hangUp(nc net.Conn) {
	if tc, ok := nc.(*tls.Conn); ok {
		nc = tc.NetConn()
	}
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	_ = nc.Close()
}

// The socket breaks while messages are being sent: no message that its sender
// may send again elsewhere has arrived, in whole or in part.
func TestD26WhatIsSafeToRetryHasNotArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		for round := range 16 {
			s, nc := accepted(t, tr, record(), getty.Config{HighWatermark: 1 << 30}, nil)
			below := s.NetConn()
			if tc, ok := below.(*tls.Conn); ok {
				below = tc.NetConn()
			}
			size := 1 << 10
			if round%2 == 0 {
				size = 512 << 10 // under TLS these take several writes
			}
			arrived := make(chan string, 1)
			go func() {
				b, _ := io.ReadAll(nc)
				arrived <- string(b)
			}()
			begun := make(chan struct{})
			go func() {
				<-begun
				_ = below.Close()
			}()
			var failed error
			i := 0
			for ; failed == nil; i++ {
				if i == round%5 {
					close(begun)
				}
				failed = s.Send(numbered(0, i, size))
			}
			got := receive(t, arrived, "end of the stream")
			seen := strings.Count(got, "\n")
			partial := len(got) - strings.LastIndexByte(got, '\n') - 1
			switch {
			case getty.SafeToRetry(failed) && (seen >= i || seen == i-1 && partial > 0):
				t.Fatalf("message %d is safe to retry (%v), but %d and %d bytes arrived", i-1, failed, seen, partial)
			case !getty.SafeToRetry(failed) && !errors.Is(s.Send("more"), getty.ErrClosed):
				t.Fatalf("the session goes on after a partial write: %v", failed)
			}
		}
	})
}

func TestD28TimeAloneDoesNotEndASession(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		r.onMessage = func(s *session, m string) error { return s.Send(m) }
		cfg := getty.Config{
			WriteTimeout: time.Second, HandshakeTimeout: time.Second, CloseTimeout: time.Second, DrainTimeout: time.Second,
		}
		v.serve(t, r, cfg, nil)
		nc := v.dial(t)
		tp := v.tape(nc)
		for i := range 20 {
			time.Sleep(time.Duration(i) * time.Minute)
			write(t, nc, strings.Repeat("x", 1<<16)+"\n")
			synctest.Wait()
		}
		wantOpen(t, r)
		if got, want := len(tp.text()), 20*(1<<16+1); got != want {
			t.Errorf("%d of %d bytes came back", got, want)
		}
	})
}
