// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

// What keeps a session alive, and what it may take, where bytes become messages
// only as a whole: under TLS and compression, and on conns of somebody else's.

// noise is a line that cannot be compressed much.
func noise(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = ' ' + byte(rand.IntN(90)) //nolint:gosec // any letter
	}
	return string(b)
}

// trickle is a conn that writes step bytes ten times a second once it is slow.
type trickle struct {
	net.Conn
	slow atomic.Bool
	step int
}

func (c *trickle) Write(p []byte) (n int, err error) {
	if !c.slow.Load() {
		return c.Conn.Write(p)
	}
	for n < len(p) && err == nil {
		time.Sleep(100 * time.Millisecond)
		step := min(c.step, len(p)-n)
		_, err = c.Conn.Write(p[n : n+step])
		n += step
	}
	return n, err
}

// gather is a conn that, once it keeps, sends nothing of what is written.
type gather struct {
	net.Conn
	keeps bool
	kept  []byte
}

func (c *gather) Write(p []byte) (int, error) {
	if !c.keeps {
		return c.Conn.Write(p)
	}
	c.kept = append(c.kept, p...)
	return len(p), nil
}

// through is a raw peer over nc.
func through(t *testing.T, v *virtual, how getty.Compression, nc net.Conn) net.Conn {
	t.Helper()
	if v.tls {
		nc = virtualTLS(t, nc)
	}
	if how != getty.CompressNone {
		nc = zipPeer(t, nc, how)
	}
	return nc
}

// gathered is one over nc that sends nothing from now on: all keeps it.
func gathered(t *testing.T, v *virtual, how getty.Compression) (nc net.Conn, all *gather, peer net.Conn) {
	t.Helper()
	nc, err := v.Dial(t.Context(), "tcp", "server:1")
	must(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	all = &gather{Conn: nc}
	peer = through(t, v, how, all)
	synctest.Wait()
	all.keeps = true
	return nc, all, peer
}

// trickled is one that is slow from now on.
func trickled(t *testing.T, v *virtual, how getty.Compression, step int) net.Conn {
	t.Helper()
	nc, err := v.Dial(t.Context(), "tcp", "server:1")
	must(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	slow := &trickle{Conn: nc, step: step}
	defer slow.slow.Store(true)
	return through(t, v, how, slow)
}

// converted runs a test under TLS, and under compression without it.
func converted(t *testing.T, cfg getty.Config, test func(t *testing.T, v *virtual, r *recorder, nc net.Conn)) {
	inVirtualStream(t, func(t *testing.T, v *virtual) {
		r, cfg := record(), cfg
		if !v.tls {
			cfg.Compression = getty.CompressFlate
		}
		v.serve(t, r, cfg, nil)
		nc := trickled(t, v, cfg.Compression, 1)
		synctest.Wait()
		test(t, v, r, nc)
	})
}

// A record or piece that comes slowly is no silence.
func TestIdleIsNotAPartOfARecord(t *testing.T) {
	converted(t, getty.Config{IdleTimeout: time.Second}, func(t *testing.T, v *virtual, r *recorder, nc net.Conn) {
		start := v.since()
		line := noise(80)
		write(t, nc, line+"\n")
		synctest.Wait()
		if took := v.since() - start; took < 2*time.Second || len(r.closed) > 0 || len(r.messages) != 1 {
			t.Fatalf("after %v there are %d messages and %d ends", took, len(r.messages), len(r.closed))
		}
		v.wantEndAt(t, r, v.since()+time.Second, getty.ErrIdle)
	})
}

// It is the part of a message, for which there is a limit.
func TestMessageTimeoutOfAPartOfARecord(t *testing.T) {
	converted(t, getty.Config{MessageTimeout: 3 * time.Second}, func(t *testing.T, v *virtual, r *recorder, nc net.Conn) {
		at := v.since() + 3*time.Second + 100*time.Millisecond
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = io.WriteString(nc, noise(500)+"\n")
		}()
		v.wantEndAt(t, r, at, getty.ErrMessageTimeout)
		<-gone
	})
}

// So is the rate of a message: what is inside of a record counts as it comes.
func TestMinRateOfAPartOfARecord(t *testing.T) {
	for rate, want := range map[int]error{5: nil, 50: getty.ErrMessageTimeout} { // it comes at 10
		converted(t, getty.Config{Limits: getty.Limits{MinRate: rate}}, func(t *testing.T, v *virtual, r *recorder, nc net.Conn) {
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				_, _ = io.WriteString(nc, noise(500)+"\n")
			}()
			<-gone
			synctest.Wait()
			if want == nil {
				wantOpen(t, r)
				receive(t, r.messages, "message")
				return
			}
			wantCause(t, receive(t, r.closed, "OnClose"), want)
		})
	}
}

// A whole record without plaintext, or one that was completed, is no unfinished message.
func TestMessageTimeoutIsOverWithTheRecord(t *testing.T) {
	converted(t, getty.Config{MessageTimeout: 30 * time.Second}, func(t *testing.T, v *virtual, r *recorder, nc net.Conn) {
		write(t, nc, "slowly\n")
		time.Sleep(time.Hour)
		wantOpen(t, r)
	})
}

// A peer that takes little at a time makes progress, although a piece of what
// is sent counts only when all of it has left.
func TestIdleIsNotASlowReader(t *testing.T) {
	inVirtualStream(t, func(t *testing.T, v *virtual) {
		v.Network = gettytest.NewNetwork(gettytest.Faults{Buffer: 1000})
		r := record()
		r.onMessage = func(s *session, _ string) error { return s.Send(strings.Repeat("x", 200<<10)) }
		v.serve(t, r, getty.Config{IdleTimeout: time.Second}, nil)
		nc := v.dial(t)
		write(t, nc, "all of it\n")
		b := make([]byte, 1500)
		for got := 0; got < 200<<10; {
			n, err := nc.Read(b)
			if err != nil {
				t.Fatalf("after %d bytes: %v", got, err)
			}
			got += n
			time.Sleep(50 * time.Millisecond * time.Duration(n) / 1500)
		}
		wantOpen(t, r)
	})
}

// The end of a conn that tells its peer, and waits for that, is not waited for.
func TestClosingDoesNotWaitForTheConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &virtual{Network: gettytest.NewNetwork(gettytest.Faults{Buffer: 1}), start: time.Now()}
		server := serverTLS()
		v.wrap = func(nc net.Conn) net.Conn { return tls.Server(nc, server) }
		r := record()
		srv := v.serve(t, r, getty.Config{}, nil)
		var sessions []*session
		for range 4 {
			nc, err := v.Dial(t.Context(), "tcp", "server:1")
			must(t, err)
			defer nc.Close()
			tc := virtualTLS(t, nc)
			s := receive(t, r.opened, "OnOpen")
			write(t, tc, "hello\n")
			receive(t, r.messages, "message")
			sessions = append(sessions, s)
		}
		synctest.Wait()
		start := v.since()
		must(t, sessions[0].Close())
		sessions[1].CloseWithCause(errors.New("enough"))
		must(t, srv.Close())
		if took := v.since() - start; took > 0 {
			t.Errorf("closing took %v", took)
		}
	})
}

// What a batch has exceeded is of no interest when the session is closing.
func TestRateLimitOfAClosingSession(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		const size = 4 << 20
		r := record()
		r.onMessage = func(s *session, _ string) error {
			return errors.Join(s.Send(strings.Repeat("x", size)), s.Close())
		}
		cfg := getty.Config{Limits: getty.Limits{Bytes: getty.Rate{PerSecond: 1}}}
		_, nc := accepted(t, tr, r, cfg, nil)
		write(t, nc, "ten bytes\n")
		got, err := io.ReadAll(nc)
		if len(got) != size+1 || err != nil {
			t.Errorf("%d bytes came, %v", len(got), err)
		}
		if cause := receive(t, r.closed, "OnClose"); cause != nil {
			t.Errorf("the cause is %v", cause)
		}
	})
}

// A frame is not looked at twice, however its message's callback has ended.
func TestWebSocketAfterACallbackThatDidNotReturn(t *testing.T) {
	t.Run("panic", func(t *testing.T) { unreturned(t, true, io.ErrNoProgress) })
	t.Run("Goexit", func(t *testing.T) { unreturned(t, false, getty.ErrGoexit) })
}

func unreturned(t *testing.T, panics bool, want error) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		if !v.ws {
			t.Skip("about frames")
		}
		r := record()
		end := runtime.Goexit
		if panics {
			end = func() { panic(want) }
		}
		r.onMessage = func(*session, string) error {
			end()
			return nil
		}
		v.serve(t, r, getty.Config{CloseTimeout: 2 * time.Second}, nil)
		w := v.dial(t).(*wsRaw)
		at := v.since() + 2*time.Second
		_, err := w.Conn.Write(append(text("first\n").bytes(true), text("second\n").bytes(true)...))
		must(t, err)
		w.said = true
		wantFrames(t, w, failed(1011))
		_, err = w.Conn.Write(text("third\n").bytes(true))
		must(t, err)
		v.wantEndAt(t, r, at, want)
	})
}

// An Executor that panics refuses a batch.
func TestExecutorPanics(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		_, nc := accepted(t, tr, r, getty.Config{Executor: panicking{}}, nil)
		write(t, nc, "work\n")
		var pe *getty.PanicError
		if cause := receive(t, r.closed, "OnClose"); !errors.As(cause, &pe) || pe.Value != "closed" {
			t.Errorf("the cause is %v", cause)
		}
	})
}

type panicking struct{}

func (panicking) Submit(func()) error { panic("closed") }

// selfish is a codec that returns memory of its own.
type selfish struct {
	codec.Line
	own []byte
}

func (c selfish) Append(dst []byte, msg string) ([]byte, error) {
	if len(dst) == 0 && msg == "" {
		return c.own, nil
	}
	return c.Line.Append(dst, msg)
}

// A codec's memory is not lent to other sessions.
func TestAppendMayNotGiveItsOwnMemory(t *testing.T) {
	for _, size := range []int{10, 5000} {
		own := []byte(strings.Repeat("m", size) + "\n")
		eachStream(t, func(t *testing.T, tr transport) {
			r := record()
			s, nc := accepted(t, tr, r, getty.Config{}, func(_ *session, u *setup) error {
				u.Codec = selfish{own: own}
				return nil
			})
			b := make([]byte, len(own))
			for range 20 {
				must(t, s.Send(""))
				_, err := io.ReadFull(nc, b)
				must(t, err)
				must(t, s.Send(strings.Repeat("o", size)))
				_, err = io.ReadFull(nc, b)
				must(t, err)
			}
			if strings.Contains(string(own), "o") {
				t.Error("what another message had is in the codec's memory")
			}
		})
	}
}

// A session's own high watermark may be below the low one that it has not chosen.
func TestSetupHighWatermarkAlone(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		_, nc := accepted(t, tr, r, getty.Config{}, func(_ *session, u *setup) error {
			u.HighWatermark = 64 << 10
			return nil
		})
		write(t, nc, "hello\n")
		receive(t, r.messages, "message")
	})
}

// An error of Configure is told to a WebSocket peer, which has been answered already.
func TestConfigureErrorIsACloseFrame(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, record(), getty.Config{}, func(srv *getty.Server[string]) {
			srv.Configure = func(*session, *setup) error { return &getty.CloseError{Code: 4001, Reason: "not you"} }
		})
		r := record()
		dial(t, url, r, getty.Config{})
		var ce *getty.CloseError
		if cause := receive(t, r.closed, "OnClose"); !errors.As(cause, &ce) || ce.Code != 4001 || ce.Reason != "not you" {
			t.Errorf("the cause is %v", cause)
		}
	})
}

// layers are what bytes may go through before they are messages.
func layers(t *testing.T, test func(t *testing.T, v *virtual, how getty.Compression)) {
	for _, how := range []getty.Compression{getty.CompressNone, getty.CompressFlate, getty.CompressSnappy, getty.CompressZstd} {
		t.Run(how.String(), func(t *testing.T) {
			inVirtualStream(t, func(t *testing.T, v *virtual) { test(t, v, how) })
		})
	}
}

// A part that has come together with the end of what was before it is one as well.
func TestMessageTimeoutOfAPartBehindAWhole(t *testing.T) {
	layers(t, func(t *testing.T, v *virtual, how getty.Compression) {
		r := record()
		v.serve(t, r, getty.Config{MessageTimeout: 3 * time.Second, Compression: how}, nil)
		nc, all, peer := gathered(t, v, how)
		write(t, peer, "hello\n")
		write(t, peer, noise(5000)+"\n")
		_, err := nc.Write(all.kept[:len(all.kept)-3000])
		must(t, err)
		v.wantEndAt(t, r, v.since()+3*time.Second, getty.ErrMessageTimeout)
		if got := receive(t, r.messages, "message"); got != "hello" {
			t.Errorf("the message is %q", got)
		}
	})
}

// A piece in records that come slowly is slow only if all of its bytes are.
func TestMinRateOfAPieceInRecords(t *testing.T) {
	layers(t, func(t *testing.T, v *virtual, how getty.Compression) {
		r := record()
		v.serve(t, r, getty.Config{MaxMessageSize: 1 << 20, Limits: getty.Limits{MinRate: 300}, Compression: how}, nil)
		peer := trickled(t, v, how, 100)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = io.WriteString(peer, noise(50_000)+"\n")
		}()
		<-gone
		synctest.Wait()
		wantOpen(t, r)
		if got := receive(t, r.messages, "message"); len(got) != 50_000 {
			t.Errorf("the message has %d bytes", len(got))
		}
	})
}

// What of a record or piece has come with the end of the one before it has come.
func TestMinRateOfBursts(t *testing.T) {
	const size, burst, pause = 1 << 20, 4000, 4 * time.Second
	layers(t, func(t *testing.T, v *virtual, how getty.Compression) {
		r := record()
		v.serve(t, r, getty.Config{MaxMessageSize: 2 * size, Limits: getty.Limits{MinRate: 100}, Compression: how}, nil)
		nc, all, peer := gathered(t, v, how)
		write(t, peer, noise(size)+"\n")
		for sent := all.kept; len(sent) > 0; sent = sent[min(burst, len(sent)):] {
			if _, err := nc.Write(sent[:min(burst, len(sent))]); err != nil {
				t.Fatalf("%d bytes before the end: %v", len(sent), err)
			}
			time.Sleep(pause)
		}
		wantOpen(t, r)
		if got := receive(t, r.messages, "message"); len(got) != size {
			t.Errorf("the message has %d bytes", len(got))
		}
	})
}
