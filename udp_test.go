// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

var udpTransport = transport{"udp", func(testing.TB) string { return "udp://127.0.0.1:0" }}

// udpServe starts a server of lines.
func udpServe(t testing.TB, events getty.EventListener[string], cfg getty.Config) (*getty.Server[string], string) {
	t.Helper()
	return serve(t, udpTransport, events, cfg, nil)
}

// udpPeer is a raw peer: each Write is a packet, each Read is one.
func udpPeer(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	return peer(t, "udp://"+strings.TrimPrefix(addr, "udp://")).(*net.UDPConn)
}

func udpRead(t testing.TB, nc net.Conn) string {
	t.Helper()
	buf := make([]byte, 1<<16)
	n, err := nc.Read(buf)
	must(t, err)
	return string(buf[:n])
}

func udpWantEcho(t testing.TB, nc net.Conn, packet string) {
	t.Helper()
	write(t, nc, packet)
	if got := udpRead(t, nc); got != packet {
		t.Fatalf("answer to %q is %q", packet, got)
	}
}

// udpUntil waits until a statistic has come true.
func udpUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("no %s within %v", what, limit)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-within(t).Done():
		}
	}
}

func TestUDPEcho(t *testing.T) {
	srv, url := udpServe(t, echo, getty.Config{})
	nc := udpPeer(t, url)
	udpWantEcho(t, nc, "one\n")
	udpWantEcho(t, nc, "two\n")
	udpUntil(t, "statistics of two messages", func() bool {
		st := srv.Stats()
		return st.Sessions == 1 && st.MessagesIn == 2 && st.BytesIn == 8 && st.BytesOut == 8 && st.Pending == 0
	})

	r := record()
	s := dial(t, url, r, getty.Config{})
	must(t, s.Send("three"))
	if got := receive(t, r.messages, "answer"); got != "three" {
		t.Errorf("answer is %q", got)
	}
	if _, ok := s.NetConn().(*net.UDPConn); !ok {
		t.Errorf("NetConn is %T", s.NetConn())
	}
	must(t, s.Close())
	wantEnd(t, r, nil)
	if st := s.Stats(); st.BytesIn != 6 || st.BytesOut != 6 || st.Pending != 0 {
		t.Errorf("statistics are %+v", st)
	}
}

// Several messages in a packet are answered by a packet each.
func TestUDPPacketOfMessages(t *testing.T) {
	_, url := udpServe(t, echo, getty.Config{})
	nc := udpPeer(t, url)
	write(t, nc, "one\ntwo\nthree\n")
	for _, want := range []string{"one\n", "two\n", "three\n"} {
		if got := udpRead(t, nc); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A client is open without a packet sent, and the first answer is its first message.
func TestD37(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer pc.Close()
	must(t, pc.SetDeadline(time.Now().Add(limit)))
	r := record()
	s := dial(t, "udp://"+pc.LocalAddr().String(), r, getty.Config{})
	receive(t, r.opened, "OnOpen")
	must(t, s.Send("first"))
	buf := make([]byte, 100)
	n, from, err := pc.ReadFrom(buf)
	must(t, err)
	if string(buf[:n]) != "first\n" {
		t.Fatalf("the first packet is %q", buf[:n])
	}
	_, err = pc.WriteTo([]byte("reply\n"), from)
	must(t, err)
	if got := receive(t, r.messages, "reply"); got != "reply" {
		t.Errorf("got %q", got)
	}
}

// A refused packet ends nothing, and what cannot be resolved is an error.
func TestD38(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	addr := pc.LocalAddr().String()
	must(t, pc.Close())

	r := record()
	s := dial(t, "udp://"+addr, r, getty.Config{})
	udpUntil(t, "soft error", func() bool {
		must(t, s.Send("anybody?"))
		return s.Stats().UDP.SoftErrors > 0
	})
	// The peer comes back, and is heard.
	pc, err = net.ListenPacket("udp", addr)
	must(t, err)
	defer pc.Close()
	must(t, pc.SetDeadline(time.Now().Add(limit)))
	must(t, s.Send("again"))
	buf := make([]byte, 100)
	for {
		n, from, err := pc.ReadFrom(buf)
		must(t, err)
		if string(buf[:n]) == "again\n" {
			_, err = pc.WriteTo([]byte("yes\n"), from)
			must(t, err)
			break
		}
	}
	if got := receive(t, r.messages, "answer"); got != "yes" {
		t.Errorf("got %q", got)
	}

	_, err = getty.Dial(within(t), "udp://nowhere.invalid:9", codec.Line{}, r, getty.Config{})
	if err == nil {
		t.Error("a name that does not resolve was dialed")
	}
}

func TestD38DualStack(t *testing.T) {
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{})
	must(t, err)
	must(t, srv.Listen("udp://:0"))
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	port := srv.Addrs()[0].(*net.UDPAddr).Port
	for _, host := range []string{"127.0.0.1", "::1"} {
		nc, err := net.Dial("udp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil && host == "::1" {
			t.Skip("no IPv6 here:", err)
		}
		must(t, err)
		defer nc.Close()
		must(t, nc.SetDeadline(time.Now().Add(limit)))
		udpWantEcho(t, nc, "hello\n")
	}
	for s := range srv.Sessions() {
		if a := s.RemoteAddr().(*net.UDPAddr).AddrPort().Addr(); a.Is4In6() {
			t.Errorf("the remote address %v is a mapped one", a)
		}
	}
}

// Each peer has a session of its own, which ends when idle; a new packet opens
// another. Their number is limited.
func TestD39(t *testing.T) {
	r := record()
	r.onMessage = func(s *session, m string) error { return s.Send(fmt.Sprint(s.ID(), m)) }
	srv, url := udpServe(t, r, getty.Config{IdleTimeout: 500 * time.Millisecond, UDP: getty.UDP{MaxSessions: 2}})
	a, b, c := udpPeer(t, url), udpPeer(t, url), udpPeer(t, url)
	write(t, a, "a\n")
	if got := udpRead(t, a); got != "1a\n" {
		t.Errorf("got %q", got)
	}
	write(t, b, "b\n")
	if got := udpRead(t, b); got != "2b\n" {
		t.Errorf("got %q", got)
	}
	udpUntil(t, "refusal", func() bool {
		write(t, c, "c\n")
		write(t, a, "a\n")
		udpRead(t, a)
		write(t, b, "b\n")
		udpRead(t, b)
		return srv.Stats().UDP.Refused > 0
	})
	wantEnd(t, r, getty.ErrIdle)
	wantEnd(t, r, getty.ErrIdle)
	udpUntil(t, "room", func() bool { return srv.Stats().Closed == 2 })
	write(t, a, "a\n")
	if got := udpRead(t, a); !strings.HasSuffix(got, "a\n") || got == "1a\n" {
		t.Errorf("got %q", got)
	}
}

// A session takes its place until its OnClose has returned: the bound is one of
// what there is in memory.
func TestUDPMaxSessionsBoundsThoseThatClose(t *testing.T) {
	const most = 4
	r, leave := record(), newGate(t)
	r.onMessage = func(_ *session, m string) error {
		if m == "bye" {
			return errTest
		}
		return nil
	}
	ending := make(chan bool, 10*most)
	events := funcs{Open: r.OnOpen, Message: r.OnMessage, Close: func(s *session, err error) {
		ending <- true
		leave.wait()
		r.OnClose(s, err)
	}}
	srv, url := udpServe(t, events, getty.Config{UDP: getty.UDP{MaxSessions: most}})
	for i := range 10 * most {
		nc := udpPeer(t, url)
		write(t, nc, "login\n")
		write(t, nc, "bye\n")
		if i < most {
			receive(t, ending, "OnClose")
		}
	}
	udpUntil(t, "refusal of all", func() bool { return srv.Stats().UDP.Refused == 9*most*2 })
	if n := srv.Stats().Opened; n > most {
		t.Errorf("%d sessions were opened, want %d at most", n, most)
	}
	leave.open()
	for range most {
		wantEnd(t, r, errTest)
	}
	udpUntil(t, "room", func() bool { return srv.Stats().Closed == most })
	write(t, udpPeer(t, url), "login\n")
	for range most + 1 {
		receive(t, r.messages, "message")
	}
}

func TestUDPIdleByDefault(t *testing.T) {
	idle := make(chan time.Duration, 1)
	_, url := serve(t, udpTransport, echo, getty.Config{}, func(s *getty.Server[string]) {
		s.Configure = func(_ *session, u *setup) error {
			idle <- u.IdleTimeout
			return nil
		}
	})
	udpWantEcho(t, udpPeer(t, url), "hello\n")
	if got := receive(t, idle, "Configure"); got != getty.DefaultUDPIdleTimeout {
		t.Errorf("the idle timeout is %v", got)
	}
}

// A packet longer than the buffer is dropped whole.
func TestD40(t *testing.T) {
	for _, side := range []string{"server", "client"} {
		t.Run(side, func(t *testing.T) {
			cfg := getty.Config{UDP: getty.UDP{MaxPacketSize: 100}}
			var nc net.Conn
			var stats func() getty.UDPStats
			if side == "server" {
				srv, url := udpServe(t, echo, cfg)
				nc, stats = udpPeer(t, url), func() getty.UDPStats { return srv.Stats().UDP }
			} else {
				url, accept := udpListenRaw(t)
				s := dial(t, url, echo, cfg)
				must(t, s.Send("hello"))
				nc, stats = accept(), func() getty.UDPStats { return s.Stats().UDP }
				if got := udpRead(t, nc); got != "hello\n" {
					t.Fatalf("got %q", got)
				}
			}
			full := strings.Repeat("x", 99) + "\n"
			write(t, nc, strings.Repeat("x\n", 51))
			udpWantEcho(t, nc, full)
			write(t, nc, "x"+full)
			udpWantEcho(t, nc, "y\n")
			if got := stats(); got.Truncated != 2 {
				t.Errorf("statistics are %+v", got)
			}
		})
	}
}

// udpListenRaw is a raw peer of a client: accept returns it as a conn once a
// packet of the client has arrived, which is read again from it.
func udpListenRaw(t testing.TB) (url string, accept func() net.Conn) {
	t.Helper()
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	t.Cleanup(func() { _ = pc.Close() })
	must(t, pc.SetDeadline(time.Now().Add(limit)))
	return "udp://" + pc.LocalAddr().String(), func() net.Conn {
		buf := make([]byte, 1<<16)
		n, from, err := pc.ReadFrom(buf)
		must(t, err)
		return &udpRaw{UDPConn: pc, first: buf[:n], to: from}
	}
}

type udpRaw struct {
	*net.UDPConn
	first []byte
	to    net.Addr
}

func (r *udpRaw) Read(p []byte) (int, error) {
	if r.first != nil {
		n := copy(p, r.first)
		r.first = nil
		return n, nil
	}
	n, _, err := r.ReadFrom(p)
	return n, err
}

func (r *udpRaw) Write(p []byte) (int, error) { return r.WriteTo(p, r.to) }

// What is no whole messages spoils its packet alone.
func TestUDPSpoiledPacket(t *testing.T) {
	bad := errors.New("bad")
	h := &hooked{onDecode: func(data []byte) error {
		if data[0] == '!' {
			return bad
		}
		return nil
	}}
	r := record()
	srv, url := serve(t, udpTransport, r, getty.Config{MaxMessageSize: 10}, func(s *getty.Server[string]) { s.Configure = with(h) })
	nc := udpPeer(t, url)
	for i, p := range []string{"!\n", "rest", "", "longer than allowed\n"} {
		write(t, nc, p)
		udpUntil(t, "failure to open", func() bool { return srv.Stats().Failed == int64(i+1) })
	}
	write(t, nc, "one\nrest")
	write(t, nc, "!bad\n")
	write(t, nc, "two\n!bad\n")
	write(t, nc, "longer than allowed\n")
	write(t, nc, "three\n")
	for _, want := range []string{"one", "two", "three"} {
		if got := receive(t, r.messages, "message"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	receive(t, r.opened, "OnOpen")
	if n := len(r.opened); n != 0 {
		t.Errorf("%d more sessions", n)
	}
	s := udpOnly(t, srv)
	if got := s.Stats().UDP.Spoiled; got != 4 {
		t.Errorf("%d packets spoiled, want 4", got)
	}
	if got := srv.Stats().UDP.Spoiled; got != 8 {
		t.Errorf("%d packets spoiled in all, want 8", got)
	}
}

func udpOnly(t testing.TB, srv *getty.Server[string]) (only *session) {
	t.Helper()
	udpUntil(t, "session", func() bool { return srv.Stats().Sessions == 1 })
	for s := range srv.Sessions() {
		only = s
	}
	return only
}

func TestUDPTooLongToSend(t *testing.T) {
	srv, url := udpServe(t, echo, getty.Config{})
	r := record()
	s := dial(t, url, r, getty.Config{})
	must(t, s.Send("hello"))
	receive(t, r.messages, "answer")
	for _, s := range []*session{s, udpOnly(t, srv)} {
		err := s.Send(strings.Repeat("x", 65507))
		var se *getty.SendError
		if !errors.As(err, &se) || !errors.Is(err, getty.ErrPacketTooLong) || !getty.SafeToRetry(err) {
			t.Errorf("the error is %v", err)
		}
	}
	longest := strings.Repeat("x", 65506)
	must(t, s.Send(longest))
	if got := receive(t, r.messages, "answer"); got != longest {
		t.Errorf("got %d bytes", len(got))
	}
}

func TestUDPCloseIsImmediate(t *testing.T) {
	cfg := getty.Config{CloseTimeout: time.Hour}
	r := record()
	srv, url := udpServe(t, r, cfg)
	nc := udpPeer(t, url)
	r.onMessage = func(s *session, m string) error {
		must(t, s.Send("bye"))
		return s.Close()
	}
	write(t, nc, "hello\n")
	if got := udpRead(t, nc); got != "bye\n" {
		t.Errorf("got %q", got)
	}
	wantEnd(t, r, nil)
	c := record()
	s := dial(t, url, c, cfg)
	must(t, s.Send("x"))
	must(t, s.Close())
	must(t, s.Close())
	wantEnd(t, c, nil)
	if err := s.Send("y"); !errors.Is(err, getty.ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
	wantEnd(t, r, nil)
	finish(t, srv)
}

// NetConn of an accepted session has addresses, and Close ends the session.
func TestUDPNetConn(t *testing.T) {
	r := record()
	srv, url := udpServe(t, r, getty.Config{})
	nc := udpPeer(t, url)
	write(t, nc, "hello\n")
	s := receive(t, r.opened, "OnOpen")
	if got, want := s.RemoteAddr().String(), nc.LocalAddr().String(); got != want {
		t.Errorf("remote address is %s, want %s", got, want)
	}
	if got, want := s.LocalAddr().String(), nc.RemoteAddr().String(); got != want {
		t.Errorf("local address is %s, want %s", got, want)
	}
	if _, err := s.NetConn().Write([]byte("x")); err == nil {
		t.Error("Write works")
	}
	if _, err := s.NetConn().Read(make([]byte, 1)); err == nil {
		t.Error("Read works")
	}
	must(t, s.NetConn().Close())
	wantEnd(t, r, net.ErrClosed)
	finish(t, srv)
}

// A busy session's queue is bounded; what does not fit is counted.
func TestUDPQueueOverflow(t *testing.T) {
	r := record()
	g := newGate(t)
	r.onMessage = func(*session, string) error { g.wait(); return nil }
	srv, url := udpServe(t, r, getty.Config{UDP: getty.UDP{QueueSize: 100}})
	nc := udpPeer(t, url)
	udpUntil(t, "overflow", func() bool {
		write(t, nc, strings.Repeat("x", 29)+"\n")
		return srv.Stats().UDP.Dropped > 3
	})
	// Others are served meanwhile.
	r2 := udpPeer(t, url)
	write(t, r2, "other\n")
	udpUntil(t, "other session", func() bool { return srv.Stats().Opened == 2 })
	g.open()
	finish(t, srv)
}

// A flood of made-up peers takes bounded memory and nobody's place.
func TestUDPFlood(t *testing.T) {
	const most, flood = 64, 2000
	r := record()
	r.onMessage = func(s *session, m string) error { return s.Send(m) }
	srv, url := udpServe(t, r, getty.Config{UDP: getty.UDP{MaxSessions: most}})
	old := udpPeer(t, url)
	udpWantEcho(t, old, "hello\n")
	before := udpMemory()
	for i := range flood {
		nc, err := net.Dial("udp", strings.TrimPrefix(url, "udp://"))
		must(t, err)
		write(t, nc, fmt.Sprintf("%d\n", i))
		must(t, nc.Close())
		if i%50 == 0 {
			udpWantEcho(t, old, "still here\n")
		}
	}
	// Sessions, goroutines' stacks and the buffers of a batch.
	if grown := udpMemory() - before; grown > 8<<20 {
		t.Errorf("%d bytes more than before the flood", grown)
	}
	st := srv.Stats()
	if st.Sessions > most || st.Opened > most {
		t.Errorf("%d sessions, %d opened, at most %d allowed", st.Sessions, st.Opened, most)
	}
	if st.UDP.Refused < flood/2 {
		t.Errorf("%d refused", st.UDP.Refused)
	}
	if len(r.closed) != 0 {
		t.Errorf("%d sessions ended", len(r.closed))
	}
	udpWantEcho(t, old, "hello\n")
}

// udpMemory is what lives on the heap and on stacks.
func udpMemory() int64 {
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return int64(ms.HeapAlloc + ms.StackInuse) //nolint:gosec // far from overflow
}

// Shutdown in the middle of a flood leaves nothing: TestMain looks for it.
func TestUDPShutdownDuringFlood(t *testing.T) {
	for i := range 20 {
		srv, url := udpServe(t, echo, getty.Config{UDP: getty.UDP{MaxSessions: 16}, Workers: i % 3})
		stop := make(chan struct{})
		var flooding sync.WaitGroup
		for range 2 {
			flooding.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					nc, err := net.Dial("udp", strings.TrimPrefix(url, "udp://"))
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = nc.Write([]byte("hello\n"))
					_, _ = nc.Write([]byte("junk"))
					_ = nc.Close()
				}
			})
		}
		udpUntil(t, "flood", func() bool { return srv.Stats().Opened > 8 })
		if i%2 == 0 {
			must(t, srv.Close())
		}
		finish(t, srv)
		close(stop)
		flooding.Wait()
		if st := srv.Stats(); st.Sessions+st.Opening != 0 || st.Opened != st.Closed {
			t.Errorf("statistics are %+v", st)
		}
	}
}

// Junk opens no session, and does not hold a place.
func TestUDPJunkOpensNothing(t *testing.T) {
	r := record()
	srv, url := udpServe(t, r, getty.Config{UDP: getty.UDP{MaxSessions: 1}})
	for range 50 {
		nc := udpPeer(t, url)
		udpUntil(t, "look at junk", func() bool {
			had := srv.Stats().Failed
			write(t, nc, "junk")
			udpUntil(t, "failure", func() bool { return srv.Stats().Failed > had })
			return true
		})
	}
	nc := udpPeer(t, url)
	write(t, nc, "hello\n")
	receive(t, r.messages, "message")
	if len(r.opened) != 1 {
		t.Errorf("%d sessions opened", len(r.opened))
	}
}

// A panic or Goexit in a codec ends nothing but the attempt.
func TestUDPCodecPanicsAtFirstPacket(t *testing.T) {
	h := &hooked{onDecode: func(data []byte) error {
		if data[0] == '!' {
			panic("bad")
		}
		return nil
	}}
	srv, url := serve(t, udpTransport, echo, getty.Config{}, func(s *getty.Server[string]) { s.Configure = with(h) })
	nc := udpPeer(t, url)
	write(t, nc, "!\n")
	udpUntil(t, "failure", func() bool { return srv.Stats().Failed == 1 })
	udpWantEcho(t, nc, "hello\n")
}

// To a codec that takes all of a packet a longer one is none, and not two.
func TestUDPPacketLongerThanAMessage(t *testing.T) {
	const limit = 1000
	events := getty.EventFuncs[[]byte]{Message: func(s *getty.Session[[]byte], m []byte) error { return s.Send(m) }}
	srv, err := getty.NewServer(codec.Raw{}, events, getty.Config{MaxMessageSize: limit})
	must(t, err)
	must(t, srv.Listen("udp://127.0.0.1:0"))
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	nc := udpPeer(t, srv.URLs()[0])
	write(t, nc, strings.Repeat("x", limit+1))
	udpUntil(t, "failure to open", func() bool { return srv.Stats().Failed == 1 })
	for _, n := range []int{1, limit - 1, limit} {
		udpWantEcho(t, nc, strings.Repeat("y", n))
		write(t, nc, strings.Repeat("x", limit+1))
		write(t, nc, strings.Repeat("x", 2*limit))
	}
	udpWantEcho(t, nc, "the last")
	if st := srv.Stats(); st.MessagesIn != 4 || st.UDP.Spoiled != 7 { // one of them has opened nothing
		t.Errorf("%d messages and %d spoiled packets, want 4 and 7", st.MessagesIn, st.UDP.Spoiled)
	}
}

// Of two messages in a packet the first may be as long as they may be.
func TestUDPTwoMessagesOfOnePacket(t *testing.T) {
	r := record()
	_, url := udpServe(t, r, getty.Config{MaxMessageSize: 10})
	nc := udpPeer(t, url)
	for range 2 {
		write(t, nc, "123456789\nabcdefghi\n")
		for _, want := range []string{"123456789", "abcdefghi"} {
			if got := receive(t, r.messages, "message"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
}

// Empty packets are messages to a codec that says so, both ways.
func TestUDPEmptyPacket(t *testing.T) {
	events := getty.EventFuncs[[]byte]{Message: func(s *getty.Session[[]byte], m []byte) error { return s.Send(m) }}
	srv, err := getty.NewServer(codec.Raw{}, events, getty.Config{})
	must(t, err)
	must(t, srv.Listen("udp://127.0.0.1:0"))
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	nc := udpPeer(t, srv.URLs()[0])
	for range 2 {
		_, err = nc.Write(nil)
		must(t, err)
		if got := udpRead(t, nc); got != "" {
			t.Errorf("got %q", got)
		}
	}
	udpUntil(t, "statistics of two messages", func() bool {
		st := srv.Stats()
		return st.MessagesOut == 2 && st.BytesIn == 0 && st.BytesOut == 0 && st.Pending == 0
	})
}

// Shutdown flushes what was accepted and leaves nothing running.
func TestUDPShutdownFlushes(t *testing.T) {
	r := record()
	srv, url := udpServe(t, r, getty.Config{})
	nc := udpPeer(t, url)
	in, g := make(chan struct{}, 1), newGate(t)
	r.onMessage = func(s *session, m string) error {
		in <- struct{}{}
		g.wait()
		return nil
	}
	write(t, nc, "one\ntwo\n")
	receive(t, in, "OnMessage")
	s := udpOnly(t, srv)
	must(t, s.Send("collected"))
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(within(t)) }()
	ended(t, s.Done(), "close")
	g.open()
	must(t, receive(t, done, "Shutdown"))
	if got := udpRead(t, nc); got != "collected\n" {
		t.Errorf("got %q", got)
	}
	wantEnd(t, r, getty.ErrShutdown)
	if n := len(r.messages); n != 1 {
		t.Errorf("%d messages, want the one that was being handled", n)
	}
}

func TestUDPClientPool(t *testing.T) {
	_, url := udpServe(t, echo, getty.Config{})
	r := record()
	c := pooled(t, url, r, getty.ClientConfig{PoolSize: 3})
	must(t, c.Connect(within(t)))
	for range 6 {
		must(t, c.Send(within(t), "hello"))
		receive(t, r.messages, "answer")
	}
	s, err := c.Session(within(t))
	must(t, err)
	must(t, s.Close())
	wantEnd(t, r, nil)
	must(t, c.Connect(within(t)))
	if st := c.State(); st.Live != 3 {
		t.Errorf("state is %+v", st)
	}
}

func TestUDPInjectedPacketConn(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{})
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.ServePacket(struct{ net.PacketConn }{pc}) }()
	nc := udpPeer(t, pc.LocalAddr().String())
	udpWantEcho(t, nc, "hello\n")
	finish(t, srv)
	if err := receive(t, served, "return"); !errors.Is(err, getty.ErrServerClosed) {
		t.Errorf("ServePacket returned %v", err)
	}
}

// A socket that fails ends its sessions, and only then.
func TestUDPSocketFails(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	r := record()
	srv, err := getty.NewServer(codec.Line{}, r, getty.Config{})
	must(t, err)
	f := &udpFailing{PacketConn: pc, errs: make(chan error, 2)}
	served := make(chan error, 1)
	go func() { served <- srv.ServePacket(f) }()
	nc := udpPeer(t, pc.LocalAddr().String())
	write(t, nc, "one\n")
	receive(t, r.messages, "message")
	f.errs <- syscall.ENOBUFS
	write(t, nc, "lost\n")
	udpUntil(t, "soft error", func() bool { return srv.Stats().UDP.SoftErrors == 1 })
	write(t, nc, "two\n")
	receive(t, r.messages, "message")
	broken := errors.New("broken")
	f.errs <- broken
	write(t, nc, "lost\n")
	wantEnd(t, r, broken)
	if err := receive(t, served, "return"); !errors.Is(err, broken) {
		t.Errorf("ServePacket returned %v", err)
	}
	finish(t, srv)
}

type udpFailing struct {
	net.PacketConn
	errs chan error
}

func (f *udpFailing) ReadFrom(p []byte) (int, net.Addr, error) {
	n, addr, err := f.PacketConn.ReadFrom(p)
	select {
	case err = <-f.errs:
		return 0, nil, err
	default:
		return n, addr, err
	}
}
