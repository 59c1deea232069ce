// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// accepted starts a server on tr and returns the session of a raw peer.
func accepted(t testing.TB, tr transport, r *recorder, cfg getty.Config, configure func(*session, *setup) error) (*session, net.Conn) {
	t.Helper()
	_, url := serve(t, tr, r, cfg, func(srv *getty.Server[string]) { srv.Configure = configure })
	nc := peer(t, url)
	return receive(t, r.opened, "OnOpen"), nc
}

// numbered is the line of a sender: who, which, and filling of one letter.
func numbered(sender, i, size int) string {
	return fmt.Sprintf("%d %d %s", sender, i, strings.Repeat(string(rune('a'+sender)), size))
}

// checkNumbered takes a line apart and fails if it is not what numbered made.
func checkNumbered(t testing.TB, line string) (sender, i int) {
	t.Helper()
	if _, err := fmt.Sscanf(line, "%d %d", &sender, &i); err != nil {
		t.Fatalf("line %.40q: %v", line, err)
	}
	prefix := fmt.Sprintf("%d %d ", sender, i)
	if line != numbered(sender, i, len(line)-len(prefix)) {
		t.Fatalf("other bytes in the message that begins %.40q", line)
	}
	return sender, i
}

func TestG3MessagesOfManySendersAreNeverInterleaved(t *testing.T) {
	const senders, share = 16, 45
	eachTransport(t, func(t *testing.T, tr transport) {
		s, nc := accepted(t, tr, record(), getty.Config{HighWatermark: 64 << 10}, nil)
		var sending sync.WaitGroup
		defer sending.Wait()
		for sender := range senders {
			sending.Go(func() {
				for i := range share {
					size := i * i % 100
					if i%15 == sender%15 {
						size = 100_000 // more than the kernel takes at once, now and then
					}
					if err := s.Send(numbered(sender, i, size)); err != nil {
						t.Errorf("sender %d: %v", sender, err)
						return
					}
				}
			})
		}
		next := make([]int, senders)
		lines := bufio.NewReader(nc)
		for range senders * share {
			line, err := lines.ReadString('\n')
			must(t, err)
			sender, i := checkNumbered(t, strings.TrimSuffix(line, "\n"))
			if i != next[sender] {
				t.Fatalf("message %d of sender %d came instead of %d", i, sender, next[sender])
			}
			next[sender]++
		}
	})
}

// The one who finishes first must not have left anybody far behind.
func TestG3NoSenderIsStarved(t *testing.T) {
	const senders, share = 16, 400
	eachTransport(t, func(t *testing.T, tr transport) {
		s, nc := accepted(t, tr, record(), getty.Config{HighWatermark: 64 << 10}, nil)
		text := strings.Repeat("x", 1<<10)
		fill(t, s, text) // nobody gets ahead of those who start later
		var sending, begun sync.WaitGroup
		var sent [senders]atomic.Int64
		var first sync.Once
		slowest := int64(share)
		for sender := range senders {
			begun.Add(1)
			sending.Go(func() {
				begun.Done()
				for range share {
					if err := s.Send(text); err != nil {
						t.Errorf("sender %d: %v", sender, err)
						return
					}
					sent[sender].Add(1)
				}
				first.Do(func() {
					for i := range sent {
						slowest = min(slowest, sent[i].Load())
					}
				})
			})
		}
		begun.Wait()
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		sending.Wait()
		t.Logf("when the first sender had sent %d messages the slowest had sent %d", share, slowest)
		if slowest < share/4 {
			t.Errorf("when the first sender had sent %d messages the slowest had sent %d", share, slowest)
		}
	})
}

// sole is codec.Line that notices concurrent calls of Append.
type sole struct {
	codec.Line
	calls, overlaps *atomic.Int64
	now             *atomic.Int32
}

func newSole() sole {
	return sole{calls: new(atomic.Int64), overlaps: new(atomic.Int64), now: new(atomic.Int32)}
}

func (c sole) Append(dst []byte, msg string) ([]byte, error) {
	if c.now.Add(1) > 1 {
		c.overlaps.Add(1)
	}
	defer c.now.Add(-1)
	c.calls.Add(1)
	return c.Line.Append(dst, msg)
}

func TestG3AppendIsNeverCalledConcurrently(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		counter := newSole()
		s, nc := accepted(t, tr, record(), getty.Config{}, with(counter))
		var sending sync.WaitGroup
		const each = 200
		for range 8 {
			sending.Go(func() {
				for range each {
					if _, err := s.Prepare("prepared"); err != nil {
						t.Error(err)
					}
					if err := s.Send("sent"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		lines := bufio.NewReader(nc)
		for range 8 * each {
			line, err := lines.ReadString('\n')
			must(t, err)
			if line != "sent\n" {
				t.Fatalf("peer got %q", line)
			}
		}
		sending.Wait()
		if calls, overlaps := counter.calls.Load(), counter.overlaps.Load(); calls != 2*8*each || overlaps != 0 {
			t.Errorf("%d calls, %d of them concurrent; want %d and 0", calls, overlaps, 2*8*each)
		}
	})
}

// writes counts the Write calls on a conn.
type writes struct {
	net.Conn
	n *atomic.Int64
}

func (w writes) Write(p []byte) (int, error) {
	w.n.Add(1)
	return w.Conn.Write(p)
}

func (w writes) CloseWrite() error { return w.Conn.(interface{ CloseWrite() error }).CloseWrite() }

func TestG3SixteenPipelinedMessagesCostOneWrite(t *testing.T) {
	for _, workers := range []int{0, 2} {
		inVirtualTime(t, func(t *testing.T, v *virtual) {
			var n atomic.Int64
			v.wrap = func(nc net.Conn) net.Conn { return writes{nc, &n} }
			v.serve(t, echo, getty.Config{Workers: workers}, nil)
			nc := v.dial(t)
			tp := v.tape(nc)
			batch := strings.Repeat("sixteen\n", 16)
			for i := range 10 {
				before := n.Load()
				write(t, nc, batch)
				if got, want := tp.text(), strings.Repeat(batch, i+1); got != want {
					t.Fatalf("peer got %d bytes, want %d", len(got), len(want))
				}
				if got := n.Load() - before; got != 1 {
					t.Errorf("16 answers took %d writes", got)
				}
			}
		})
	}
}

// On sockets the writes cannot be counted, but what has left can.
func TestG3SendsAreCollectedUntilTheLastMessage(t *testing.T) {
	const batch, most = 16, 200
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		var left []int64 // BytesOut as each handler found it
		done := make(chan bool, 1)
		r.onMessage = func(s *session, m string) error {
			left = append(left, s.Stats().BytesOut)
			if err := s.Send(m); err != nil {
				return err
			}
			if m == "last" {
				done <- len(left) == batch && !slices.ContainsFunc(left, func(n int64) bool { return n != left[0] })
				left = nil
			}
			return nil
		}
		_, nc := accepted(t, tr, r, getty.Config{}, nil)
		lines := bufio.NewReader(nc)
		// The batch may arrive in parts, or take a millisecond, but not always.
		for range most {
			write(t, nc, strings.Repeat("x\n", batch-1)+"last\n")
			collected := receive(t, done, "last message")
			for range batch {
				_, err := lines.ReadString('\n')
				must(t, err)
			}
			if collected {
				return
			}
		}
		t.Errorf("none of %d batches of %d answers was collected", most, batch)
	})
}

func TestTheAnswerToASingleMessageIsNotHeldBack(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, g := record(), newGate(t)
		r.onMessage = func(s *session, m string) error {
			err := s.Send(m)
			g.wait() // no end of a batch, and no further message
			return err
		}
		_, nc := accepted(t, tr, r, getty.Config{}, nil)
		defer g.open()
		ask(t, nc, "hello")
	})
}

func TestCollectedSendsLeaveWithinAMillisecond(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		r.onMessage = func(s *session, m string) error {
			go func() {
				time.Sleep(3 * time.Second)
				_ = s.Send("of another goroutine")
			}()
			err := s.Send("answer to " + m)
			time.Sleep(10 * time.Second)
			return err
		}
		v.serve(t, r, getty.Config{}, nil)
		nc := v.dial(t)
		tp := v.tape(nc)
		write(t, nc, "1\n2\n")
		time.Sleep(5 * time.Second)
		if got, want := tp.text(), "answer to 1\nof another goroutine\n"; got != want {
			t.Errorf("peer got %q while the handler ran, want %q", got, want)
		}
		if got, want := tp.times(), []time.Duration{time.Millisecond, 3*time.Second + time.Millisecond}; !slices.Equal(got, want) {
			t.Errorf("collected sends left at %v, want %v", got, want)
		}
	})
}

// stuckLine is codec.Line whose Append of "stuck" takes five seconds, under the
// session's lock.
type stuckLine struct{ codec.Line }

func (c stuckLine) Append(dst []byte, line string) ([]byte, error) {
	if line == "stuck" {
		time.Sleep(5 * time.Second)
	}
	return c.Line.Append(dst, line)
}

// One timer serves the collected sends of all sessions. One that is stuck in its
// codec must not hold up the others, and has its own sent when it is not any more.
func TestCollectedSendsWaitForNoOtherSession(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		r.onMessage = func(s *session, m string) error {
			if m == "last" {
				return nil
			}
			for _, text := range []string{"begun", m} {
				if err := s.Send(text); err != nil {
					return err
				}
			}
			time.Sleep(10 * time.Second)
			return nil
		}
		v.serve(t, r, getty.Config{}, func(_ *session, u *setup) error {
			u.Codec = stuckLine{}
			return nil
		})
		stuck, other := v.dial(t), v.dial(t)
		stuckTape, otherTape := v.tape(stuck), v.tape(other)
		write(t, stuck, "stuck\nlast\n")
		synctest.Wait()
		write(t, other, "free\nlast\n")
		time.Sleep(8 * time.Second)
		if got, want := otherTape.text(), "begun\nfree\n"; got != want {
			t.Errorf("the other peer got %q, want %q", got, want)
		}
		if got := otherTape.times(); got[len(got)-1] != time.Millisecond {
			t.Errorf("at %v, want after a millisecond", got)
		}
		if got, want := stuckTape.text(), "begun\nstuck\n"; got != want {
			t.Errorf("the stuck session's peer got %q, want %q", got, want)
		}
		if got, most := stuckTape.times(), 5*time.Second+2*time.Millisecond; got[len(got)-1] > most {
			t.Errorf("at %v, want by %v", got, most)
		}
	})
}

// busyLine is codec.Line whose Append takes a while, under the session's lock.
type busyLine struct{ codec.Line }

func (c busyLine) Append(dst []byte, line string) ([]byte, error) {
	time.Sleep(2 * time.Millisecond)
	return c.Line.Append(dst, line)
}

// Collected sends leave although other senders hardly let go of the session's lock.
func TestCollectedSendsLeaveAmongBusySenders(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		arrived, sent := make(chan struct{}), new(atomic.Int64)
		r := record()
		r.onMessage = func(s *session, m string) error {
			if m == "last" {
				return nil
			}
			var senders sync.WaitGroup
			defer senders.Wait()
			for range 2 {
				senders.Go(func() {
					for s.Send("busy") == nil {
						select {
						case <-arrived:
							return
						default:
							sent.Add(1)
						}
					}
				})
			}
			<-arrived
			return nil
		}
		_, nc := accepted(t, tr, r, getty.Config{}, func(_ *session, u *setup) error {
			u.Codec = busyLine{}
			return nil
		})
		write(t, nc, "first\nlast\n")
		_, err := io.ReadFull(nc, make([]byte, 1))
		close(arrived)
		must(t, err)
		if n, most := sent.Load(), int64(100); n > most {
			t.Errorf("after %d sends, want at most %d", n, most)
		}
	})
}

func TestFlushWritesWhatIsCollected(t *testing.T) {
	inVirtualStream(t, func(t *testing.T, v *virtual) {
		r := record()
		r.onMessage = func(s *session, m string) error {
			for _, part := range []string{"a", "b"} {
				if err := s.Send(m + part); err != nil {
					return err
				}
			}
			err := s.Flush()
			time.Sleep(10 * time.Second)
			return err
		}
		v.serve(t, r, getty.Config{}, nil)
		nc := v.dial(t)
		tp := v.tape(nc)
		write(t, nc, "1\n2\n")
		if got := tp.text(); got != "1a\n1b\n" {
			t.Errorf("peer got %q after Flush", got)
		}
		if got := tp.times(); !slices.Equal(got, []time.Duration{0}) {
			t.Errorf("it came at %v, want one write at once", got)
		}
	})
}

func TestFlushOfAnIdleOrClosedSessionDoesNothing(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		s, nc := accepted(t, tr, r, getty.Config{}, nil)
		must(t, s.Flush())
		must(t, s.Close())
		must(t, nc.Close())
		wantEnd(t, r, nil)
		must(t, s.Flush())
	})
}

func TestCollectedSendsLeaveAtTheHighWatermark(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		text := strings.Repeat("x", 40<<10)
		r.onMessage = func(s *session, m string) error {
			for range 2 {
				if err := s.Send(text); err != nil {
					return err
				}
			}
			time.Sleep(10 * time.Second)
			return nil
		}
		v.serve(t, r, getty.Config{HighWatermark: 64 << 10}, nil)
		nc := v.dial(t)
		tp := v.tape(nc)
		write(t, nc, "1\n2\n")
		if got, want := len(tp.text()), 2*len(text)+2; got != want {
			t.Errorf("%d of %d bytes left before the millisecond was over", got, want)
		}
	})
}

func TestPreparedMessagesAreEncodedOnce(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		counter := newSole()
		r := record()
		_, url := serve(t, tr, r, getty.Config{}, func(srv *getty.Server[string]) { srv.Configure = with(counter) })
		var peers []net.Conn
		var sessions []*session
		for range 5 {
			peers = append(peers, peer(t, url))
			sessions = append(sessions, receive(t, r.opened, "OnOpen"))
		}
		p, err := sessions[0].Prepare("for all")
		must(t, err)
		for range 3 { // a prepared message can be sent again
			for _, s := range sessions {
				must(t, s.SendPrepared(nil, p)) //nolint:staticcheck // nil is allowed
			}
		}
		for i, nc := range peers {
			must(t, sessions[i].Close())
			if got := readAll(t, nc); got != "for all\nfor all\nfor all\n" {
				t.Errorf("peer got %q", got)
			}
		}
		if n := counter.calls.Load(); n != 1 {
			t.Errorf("the message was encoded %d times", n)
		}
	})
}

func TestPrepareReportsTheCodecsFailures(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		failure := errors.New("no")
		s, nc := accepted(t, tr, r, getty.Config{}, with(&hooked{onAppend: func(m string) error {
			switch m {
			case "error":
				return failure
			case "panic":
				panic(m)
			}
			return nil
		}}))
		if _, err := s.Prepare("error"); !errors.Is(err, failure) {
			t.Errorf("error of Prepare is %v, want the codec's", err)
		}
		var pe *getty.PanicError
		if _, err := s.Prepare("panic"); !errors.As(err, &pe) || pe.Value != "panic" {
			t.Errorf("error of Prepare is %v, want a *PanicError", err)
		}
		must(t, s.Send("goes on"))
		if got := readLine(t, nc); got != "goes on" {
			t.Errorf("peer got %q", got)
		}
		must(t, s.Close())
		must(t, nc.Close())
		wantEnd(t, r, nil)
		p, err := s.Prepare("after the end") // to be sent elsewhere
		must(t, err)
		wantSendError(t, s.SendPrepared(context.Background(), p), getty.ErrClosed)
	})
}

// wantSendError checks the error of a send of which nothing left.
func wantSendError(t testing.TB, err, want error) {
	t.Helper()
	var se *getty.SendError
	if !errors.As(err, &se) || se.Written != 0 || !errors.Is(err, want) || !getty.SafeToRetry(err) {
		t.Errorf("error is %#v, want a *SendError with nothing written: %v", err, want)
	}
}

func TestSendFrameSendsBytesAsTheyAre(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		s, nc := accepted(t, tr, r, getty.Config{}, nil)
		must(t, s.SendFrame(nil, []byte("one\ntwo\n"))) //nolint:staticcheck // nil is allowed
		must(t, s.SendFrame(within(t), nil))
		must(t, s.SendFrame(within(t), []byte("three")))
		must(t, s.Close())
		if got := readAll(t, nc); got != "one\ntwo\nthree" {
			t.Errorf("peer got %q", got)
		}
		bytes := int64(len("one\ntwo\nthree"))
		if isWebSocket(tr) {
			bytes += 3*2 + 4 // headers and the close frame
		}
		_ = nc.Close()
		wantEnd(t, r, nil) // a writer may still be counting what the peer has read
		if st := s.Stats(); st.MessagesOut != 3 || st.BytesOut != bytes {
			t.Errorf("stats are %+v, want 3 messages", st)
		}
		wantSendError(t, s.SendFrame(context.Background(), []byte("late")), getty.ErrClosed)
	})
}

func TestSendingInConfigureFails(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, nc := accepted(t, tr, record(), getty.Config{}, func(s *session, _ *setup) error {
			wantSendError(t, s.Send("early"), getty.ErrNotOpen)
			wantSendError(t, s.TrySend("early"), getty.ErrNotOpen)
			wantSendError(t, s.SendContext(context.Background(), "early"), getty.ErrNotOpen)
			wantSendError(t, s.SendFrame(context.Background(), []byte("early\n")), getty.ErrNotOpen)
			return nil
		})
		must(t, nc.(interface{ CloseWrite() error }).CloseWrite())
		if got := readAll(t, nc); got != "" {
			t.Errorf("peer got %q", got)
		}
	})
}

func TestG3OrderOfOneSenderHoldsAcrossCallsOfAnyKind(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{}, nil)
		tp := v.tape(v.dial(t))
		s := receive(t, r.opened, "OnOpen")
		var want strings.Builder
		for i := range 500 {
			line := fmt.Sprint(i)
			fmt.Fprintln(&want, line)
			p, err := s.Prepare(line)
			must(t, err)
			must(t, [...]func() error{
				func() error { return s.Send(line) },
				func() error { return s.TrySend(line) },
				func() error { return s.SendPrepared(t.Context(), p) },
				func() error { return s.SendFrame(t.Context(), []byte(line+"\n")) },
				func() error { return s.SendContext(t.Context(), line) },
			}[i%5]())
			if i%100 == 0 {
				synctest.Wait()
			}
		}
		if tp.text() != want.String() {
			t.Error("messages came in another order")
		}
	})
}
