// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

// chatter has a raw peer send lines until stop is called, which returns the
// first error of writing.
func chatter(nc net.Conn) (stop func() error) {
	quit, result := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-quit:
				result <- nil
				return
			default:
			}
			if _, err := io.WriteString(nc, "the peer goes on talking\n"); err != nil {
				result <- err
				return
			}
		}
	}()
	return func() error {
		close(quit)
		return <-result
	}
}

// slowRead reads to the end in small steps.
func slowRead(t testing.TB, nc net.Conn) (total int) {
	t.Helper()
	buf := make([]byte, 3000)
	for {
		n, err := nc.Read(buf)
		total += n
		if errors.Is(err, io.EOF) {
			return total
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", total, err)
		}
	}
}

// TestD11CloseLosesNothing has a session send much and close at once, to a peer
// that reads slowly and goes on sending all the time. Closing the socket with
// its input unread would reset the stream.
func TestD11CloseLosesNothing(t *testing.T) {
	for name, size := range map[string]int{"300KB": 300 << 10, "3MB": 3 << 20} {
		t.Run(name, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				r, talking := record(), newGate(t)
				line := strings.Repeat("x", 1023)
				events := funcs{Close: r.OnClose, Open: func(s *session) error {
					talking.wait()
					for range size >> 10 {
						if err := s.Send(line); err != nil {
							return err
						}
					}
					return s.Close()
				}}
				ep, nc := open(t, spec{events: events, cfg: getty.Config{HighWatermark: 1 << 30, CloseTimeout: limit}})
				stop := chatter(nc)
				talking.open()
				if got := slowRead(t, nc); got != size {
					t.Errorf("peer got %d bytes of %d", got, size)
				}
				must(t, stop())
				must(t, nc.Close())
				wantEnd(t, r, nil)
				finish(t, ep)
				wantNoMore(t, r)
			})
		})
	}
}

// counted counts the reads of a conn.
type counted struct {
	net.Conn
	reads *atomic.Int64
}

func (c counted) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

func (c counted) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return c.Conn.Read(p)
}

// TestD11DiscardsByTheBuffer: a peer that talks to a closing session is not
// held up by reading single bytes.
func TestD11DiscardsByTheBuffer(t *testing.T) {
	const size = 1 << 20
	var reads atomic.Int64
	l := wrapListener(t, func(nc net.Conn) net.Conn { return counted{nc, &reads} })
	r := record()
	r.onOpen = func(s *session) error { return s.Close() }
	serveOn(t, l, r, getty.Config{CloseTimeout: limit})
	nc := peer(t, "tcp://"+l.Addr().String())
	readAll(t, nc)
	write(t, nc, strings.Repeat("x", size))
	must(t, nc.Close())
	wantEnd(t, r, nil)
	if n := reads.Load(); n > size/1000 {
		t.Errorf("%d reads for %d bytes", n, size)
	}
}

// failing is a conn whose writes wait for a gate and fail.
type failing struct {
	net.Conn
	gate *gate
}

func (c failing) Write([]byte) (int, error) {
	c.gate.wait()
	return 0, errTest
}

// TestG2CloseMeetsAFailedWrite at any moment: the session ends all the same.
func TestG2CloseMeetsAFailedWrite(t *testing.T) {
	for range 50 {
		r, g := record(), newGate(t)
		l := wrapListener(t, func(nc net.Conn) net.Conn { return failing{nc, g} })
		srv := serveOn(t, l, r, getty.Config{})
		nc := peer(t, "tcp://"+l.Addr().String())
		s := receive(t, r.opened, "OnOpen")
		must(t, s.Send("lost"))
		var busy sync.WaitGroup
		for range 4 {
			busy.Go(func() {
				for s.Context().Err() == nil {
					_ = s.Stats()
				}
			})
		}
		for range 2 {
			busy.Go(func() {
				g.wait()
				_ = s.Close()
			})
		}
		g.open()
		busy.Wait()
		nc.Close()
		if cause := receive(t, r.closed, "OnClose"); cause != nil && !errors.Is(cause, errTest) {
			t.Errorf("cause is %v", cause)
		}
		finish(t, srv)
	}
}

// TestG2EndOfTheStreamIsNoClose: a peer asks, half-closes, and gets all the
// answers, as with nc -N. They are more than the kernel takes, the handlers are
// slower than the peer.
func TestG2EndOfTheStreamIsNoClose(t *testing.T) {
	const n = 150
	answer := strings.Repeat("x", 10_000)
	for name, workers := range map[string]int{"reader": 0, "workers": 2} {
		t.Run(name, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				r, over := record(), newGate(t)
				r.onMessage = func(s *session, m string) error {
					over.wait()
					return s.Send(m + answer)
				}
				ep, nc := open(t, spec{events: r, cfg: getty.Config{Workers: workers}})
				var asked, want strings.Builder
				for i := range n {
					q := strconv.Itoa(i)
					asked.WriteString(q + "\n")
					want.WriteString(q + answer + "\n")
				}
				write(t, nc, asked.String())
				halfClose(t, nc)
				over.open()
				if got := readAll(t, nc); got != want.String() {
					t.Errorf("peer got %d bytes of %d", len(got), want.Len())
				}
				must(t, nc.Close())
				wantEnd(t, r, io.EOF)
				finish(t, ep)
				if len(r.messages) != n {
					t.Errorf("%d messages, want %d", len(r.messages), n)
				}
			})
		})
	}
}

// TestG2CloseFlushesWhatWasCollected: answers are collected while requests
// wait, and leave although the session closes in their midst.
func TestG2CloseFlushesWhatWasCollected(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		for name, end := range map[string]func(s *session) error{
			"Close": func(s *session) error { return s.Close() },
			"error": func(*session) error { return errTest },
			"panic": func(*session) error { panic("test") },
			"cause": func(s *session) error { s.CloseWithCause(errTest); return nil },
		} {
			r := record()
			r.onMessage = func(s *session, m string) error {
				if err := s.Send(m); err != nil || m != "3" {
					return err
				}
				return end(s)
			}
			_, nc := open(t, spec{events: r})
			write(t, nc, "1\n2\n3\n4\n5\n")
			if got := readAll(t, nc); got != "1\n2\n3\n" {
				t.Errorf("%s: peer got %q", name, got)
			}
			must(t, nc.Close())
			receive(t, r.closed, "OnClose")
		}
	})
}

// memory runs a test in virtual time with a server over a network in memory and
// a raw peer of it.
func memory(t *testing.T, f gettytest.Faults, cfg getty.Config, test func(t *testing.T, r *recorder, s *session, nc net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, n := record(), gettytest.NewNetwork(f)
		l, err := n.Listen("")
		must(t, err)
		srv, err := getty.NewServer(codec.Line{}, r, cfg)
		must(t, err)
		var serving sync.WaitGroup
		serving.Go(func() { _ = srv.Serve(l) })
		nc, err := n.Dial(t.Context(), "tcp", l.Addr().String())
		must(t, err)
		test(t, r, receive(t, r.opened, "OnOpen"), nc)
		_ = nc.Close()
		must(t, srv.Shutdown(t.Context()))
		serving.Wait()
		if n := n.Conns(); n != 0 {
			t.Errorf("%d conns are left", n)
		}
	})
}

// after fails unless the time since start is exactly d.
func after(t testing.TB, start time.Time, d time.Duration) {
	t.Helper()
	if got := time.Since(start); got != d {
		t.Errorf("took %v, want %v", got, d)
	}
}

func TestG2CloseTimeoutBoundsTheWaitForThePeer(t *testing.T) {
	memory(t, gettytest.Faults{}, getty.Config{CloseTimeout: 3 * time.Second}, func(t *testing.T, r *recorder, s *session, nc net.Conn) {
		start := time.Now()
		must(t, s.Send("bye"))
		must(t, s.Close())
		if got := readAll(t, nc); got != "bye\n" {
			t.Errorf("peer got %q", got)
		}
		after(t, start, 0) // the peer knows at once, and keeps its end open
		wantEnd(t, r, nil)
		after(t, start, 3*time.Second)
	})
}

// TestD02CloseOfCollectedSends: those have no writer when Close comes, and the
// peer takes nothing.
func TestD02CloseOfCollectedSends(t *testing.T) {
	answer := strings.Repeat("x", 100)
	memory(t, gettytest.Faults{Buffer: 4}, getty.Config{}, func(t *testing.T, r *recorder, _ *session, nc net.Conn) {
		start, returned := time.Now(), make(chan time.Time, 1)
		r.onMessage = func(s *session, _ string) error {
			if err := s.Send(answer); err != nil {
				return err
			}
			_ = s.Close()
			returned <- time.Now()
			return nil
		}
		write(t, nc, "a\nb\n")
		if at := receive(t, returned, "return of Close"); at != start {
			t.Errorf("Close took %v", at.Sub(start))
		}
		if got := readAll(t, nc); got != answer+"\n" {
			t.Errorf("peer got %q", got)
		}
	})
}

// slowClose is a conn whose Close takes its time, after reads have failed.
type slowClose struct {
	net.Conn
	gate *gate
	over *atomic.Bool
}

func (c slowClose) Close() error {
	err := c.Conn.Close()
	c.gate.wait()
	c.over.Store(true)
	return err
}

// TestG1OnCloseWaitsForTheSocket, although somebody else is closing it.
func TestG1OnCloseWaitsForTheSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, r, g := gettytest.NewNetwork(gettytest.Faults{}), record(), newGate(t)
		var over atomic.Bool
		r.onClose = func(*session, error) {
			if !over.Load() {
				t.Error("OnClose while the socket is being closed")
			}
		}
		l, err := n.Listen("")
		must(t, err)
		srv, err := getty.NewServer(codec.Line{}, r, getty.Config{})
		must(t, err)
		go func() {
			_ = srv.Serve(wrapped{l, func(nc net.Conn) net.Conn { return slowClose{nc, g, &over} }})
		}()
		nc, err := n.Dial(t.Context(), "tcp", l.Addr().String())
		must(t, err)
		defer nc.Close()
		receive(t, r.opened, "OnOpen")
		go func() { _ = srv.Close() }()
		synctest.Wait() // reading has failed, closing goes on
		g.open()
		wantEnd(t, r, getty.ErrShutdown)
		finish(t, srv)
	})
}

func TestG2WriteTimeoutBoundsTheFlush(t *testing.T) {
	cfg := getty.Config{WriteTimeout: 7 * time.Second, CloseTimeout: time.Second}
	memory(t, gettytest.Faults{}, cfg, func(t *testing.T, r *recorder, s *session, nc net.Conn) {
		must(t, s.Send(strings.Repeat("x", 200<<10))) // more than the network takes
		start := time.Now()
		must(t, s.Close())
		wantEnd(t, r, nil)
		after(t, start, 7*time.Second)
		if s.Stats().Pending == 0 {
			t.Error("nothing is reported as lost")
		}
	})
}

// TestG2SlowPeerGetsAll: the flush may take as long as the peer needs, as long
// as it takes some bytes now and then.
func TestG2SlowPeerGetsAll(t *testing.T) {
	const size = 1 << 20
	cfg := getty.Config{WriteTimeout: 2 * time.Second, CloseTimeout: time.Second}
	memory(t, gettytest.Faults{}, cfg, func(t *testing.T, r *recorder, s *session, nc net.Conn) {
		must(t, s.Send(strings.Repeat("x", size-1)))
		must(t, s.Close())
		buf, got, start := make([]byte, 32<<10), 0, time.Now()
		for got < size {
			n, err := nc.Read(buf)
			must(t, err)
			got += n
			if len(r.closed) > 0 {
				t.Fatalf("OnClose after %d bytes", got)
			}
			if got < size-128<<10 { // the last ones are the network's already
				time.Sleep(time.Second)
			}
		}
		if time.Since(start) < 20*time.Second {
			t.Errorf("only %v", time.Since(start))
		}
		_, err := nc.Read(buf)
		wantCause(t, err, io.EOF)
		must(t, nc.Close())
		wantEnd(t, r, nil)
	})
}

// alerts tells whether the last TLS record that was read is an alert.
type alerts struct {
	net.Conn
	mu  sync.Mutex
	got []byte
}

func (a *alerts) Read(p []byte) (int, error) {
	n, err := a.Conn.Read(p)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, p[:n]...)
	return n, err
}

func (a *alerts) last() (kind byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for b := a.got; len(b) >= 5; b = b[min(len(b), 5+int(b[3])<<8+int(b[4])):] {
		kind = b[0]
	}
	return kind
}

// TestG2TLSEndsWithCloseNotify: without it a peer cannot tell the end of the
// stream from a truncation. TLS 1.2 shows the kind of each record.
func TestG2TLSEndsWithCloseNotify(t *testing.T) {
	const alert = 21 // RFC 5246, section 6.2.1
	for name, size := range map[string]int{"little": 10, "much": 4 << 20} {
		for _, end := range []string{"Close", "EOF"} {
			t.Run(name+" "+end, func(t *testing.T) {
				r := record()
				r.onMessage = func(s *session, _ string) error {
					if err := s.Send(strings.Repeat("x", size)); err != nil || end == "EOF" {
						return err
					}
					return s.Close()
				}
				_, url := serve(t, transport{"tls", func(testing.TB) string { return "tls://127.0.0.1:0" }}, r, getty.Config{}, nil)
				raw, err := rawDial(url)
				must(t, err)
				defer raw.Close()
				must(t, raw.SetDeadline(time.Now().Add(limit)))
				a, cfg := &alerts{Conn: raw}, clientTLS()
				cfg.ServerName, cfg.MaxVersion = "127.0.0.1", tls.VersionTLS12
				nc := tls.Client(a, cfg)
				write(t, nc, "message\n")
				if end == "EOF" {
					must(t, nc.CloseWrite())
					must(t, raw.(*net.TCPConn).CloseWrite())
				}
				if got := slowRead(t, nc); got != size+1 {
					t.Errorf("peer got %d bytes of %d", got, size+1)
				}
				if kind := a.last(); kind != alert {
					t.Errorf("the last record is of type %d, want an alert", kind)
				}
				_ = nc.Close()
				if cause := receive(t, r.closed, "OnClose"); end == "EOF" && !errors.Is(cause, io.EOF) || end == "Close" && cause != nil {
					t.Errorf("cause is %v", cause)
				}
			})
		}
	}
}

func TestClosedIsKnownWithoutAChannel(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		s, nc := accepted(t, tr, r, getty.Config{}, nil)
		if s.Closed() {
			t.Error("it is closed from the start")
		}
		must(t, s.Close())
		if !s.Closed() {
			t.Error("it is not closed after Close")
		}
		_ = nc.Close()
		wantEnd(t, r, nil)
		if !s.Closed() {
			t.Error("it is not closed after OnClose")
		}
	})
}

// clingy waits in CloseWrite until it is closed.
type clingy struct {
	net.Conn
	closed chan struct{}
}

func (c *clingy) CloseWrite() error { <-c.closed; return nil }

func (c *clingy) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

// A conn of somebody else's that waits for its peer in CloseWrite is closed when
// that takes longer than a write may.
func TestCloseWriteThatWaits(t *testing.T) {
	inVirtualStream(t, func(t *testing.T, v *virtual) {
		if v.tls {
			t.Skip("crypto/tls does not half-close what is below")
		}
		r := record()
		v.wrap = func(nc net.Conn) net.Conn { return &clingy{Conn: nc, closed: make(chan struct{})} }
		v.serve(t, r, getty.Config{WriteTimeout: 3 * time.Second}, nil)
		v.dial(t)
		s := receive(t, r.opened, "OnOpen")
		begin := v.since()
		must(t, s.Close())
		v.wantEndAt(t, r, begin+3*time.Second, nil)
	})
}
