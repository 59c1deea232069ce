// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/dubbo-getty"
)

// stalled opens a session to a peer that reads nothing, and fills all that is
// between them.
func stalled(t *testing.T, more ...func(getty.Session)) (s getty.Session, r *recorder) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	accepted := make(chan net.Conn, 1)
	go func() {
		nc, err := l.Accept()
		if err == nil {
			must(t, nc.(*net.TCPConn).SetReadBuffer(1<<12))
			accepted <- nc
		}
	}()
	r = record()
	ignore := func(s getty.Session) {
		s.SetAttribute("ignore-reconnect", true)
		s.SetWaitTime(100 * time.Millisecond)
	}
	connect(t, transports[0], l.Addr().String(), 1, with(r, append(more, ignore)...))
	nc := receive(t, accepted, "conn")
	t.Cleanup(func() { nc.Close() })
	s = receive(t, r.opened, "session")
	chunk := bytes.Repeat([]byte("x"), 1<<18)
	s.SetWriteTimeout(50 * time.Millisecond)
	for range 1000 {
		if _, err := s.WriteBytes(chunk); err != nil {
			return s, r
		}
	}
	t.Fatal("the peer takes everything")
	return nil, nil
}

func wantBlocked(t *testing.T, err error) {
	t.Helper()
	ne, ok := err.(net.Error) //nolint:errorlint // users assert it like this
	if !ok || !ne.Timeout() || !errors.Is(err, getty.ErrSessionBlocked) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
}

// TestD22TimeoutOfOneCall: a timeout given to WritePkg is not the session's, and
// both lengths tell that nothing was sent.
func TestD22TimeoutOfOneCall(t *testing.T) {
	s, r := stalled(t)
	text := strings.Repeat("y", 1<<18)
	s.SetWriteTimeout(400 * time.Millisecond)
	for _, c := range []struct{ timeout, least time.Duration }{
		{30 * time.Millisecond, 30 * time.Millisecond},
		{-1, 400 * time.Millisecond},
		{30 * time.Millisecond, 30 * time.Millisecond},
		{0, 400 * time.Millisecond},
	} {
		begin := time.Now()
		total, sent, err := s.WritePkg(text, c.timeout)
		took := time.Since(begin)
		wantBlocked(t, err)
		if total != len(text)+1 || sent != 0 {
			t.Errorf("WritePkg: %d, %d", total, sent)
		}
		if took < c.least || took > c.least+300*time.Millisecond {
			t.Errorf("with the timeout %v it took %v", c.timeout, took)
		}
		if s.WriteTimeout() != 400*time.Millisecond {
			t.Errorf("the session's timeout is %v", s.WriteTimeout())
		}
	}
	if s.IsClosed() || len(r.closed)+len(r.errs) > 0 {
		t.Error("the session has ended")
	}
}

// TestSetWriteTimeoutNow: it holds for the next write.
func TestSetWriteTimeoutNow(t *testing.T) {
	s, _ := stalled(t)
	for _, d := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, 20 * time.Millisecond} {
		s.SetWriteTimeout(d)
		begin := time.Now()
		_, err := s.WriteBytes(make([]byte, 1<<18))
		wantBlocked(t, err)
		if took := time.Since(begin); took < d || took > d+150*time.Millisecond {
			t.Errorf("with %v it took %v", d, took)
		}
	}
}

// TestSetWaitTime: a peer that does not read cannot keep a session from closing.
func TestSetWaitTime(t *testing.T) {
	s, r := stalled(t)
	s.SetWaitTime(50 * time.Millisecond)
	begin := time.Now()
	s.Close()
	if took := time.Since(begin); took > 20*time.Millisecond {
		t.Errorf("Close took %v", took)
	}
	receive(t, r.closed, "OnClose")
	if took := time.Since(begin); took > time.Second {
		t.Errorf("OnClose took %v", took)
	}
	wantNone(t, r.errs, "OnError")
}

// TestSetWaitTimeAfterError: it counts from the next OnCron on if a session ends
// otherwise than by Close.
func TestSetWaitTimeAfterError(t *testing.T) {
	fail := record()
	fail.onCron = func(getty.Session) { panic(errTest) }
	s, _ := stalled(t, func(s getty.Session) { s.SetCronPeriod(3_600_000) })
	s.SetEventListener(fail)
	begin := time.Now()
	s.SetCronPeriod(50)
	if err := receive(t, fail.errs, "OnError"); !errors.Is(err, errTest) {
		t.Errorf("the error is %v", err)
	}
	receive(t, fail.closed, "OnClose")
	if took := time.Since(begin); took < 200*time.Millisecond || took > 2*time.Second {
		t.Errorf("OnClose came after %v", took) // two periods and the wait time, 100 ms
	}
}

// TestSetReadTimeout bounds the wait for a peer that does not close as well, when
// it is set in NewSessionCallback and when it is set later.
func TestSetReadTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody closes what it accepts
	must(t, err)
	defer l.Close()
	set := func(s getty.Session) { s.SetReadTimeout(50 * time.Millisecond) }
	nothing := func(getty.Session) {}
	for name, c := range map[string]struct {
		early, late func(getty.Session)
		least, most time.Duration
	}{
		"early": {set, nothing, 40 * time.Millisecond, 600 * time.Millisecond},
		"late":  {nothing, set, 40 * time.Millisecond, 600 * time.Millisecond},
		"never": {nothing, nothing, 900 * time.Millisecond, patience},
	} {
		t.Run(name, func(t *testing.T) {
			r := record()
			ignore := func(s getty.Session) { s.SetAttribute("ignore-reconnect", true) }
			connect(t, transports[0], l.Addr().String(), 1, with(r, c.early, ignore))
			s := receive(t, r.opened, "session")
			c.late(s)
			_, err := s.WriteBytes([]byte("x\n"))
			must(t, err)
			begin := time.Now()
			s.Close()
			receive(t, r.closed, "OnClose")
			if took := time.Since(begin); took < c.least || took > c.most {
				t.Errorf("OnClose came after %v", took)
			}
			wantNone(t, r.errs, "OnError")
		})
	}
}

// TestSetReadTimeoutFlushes: what was written has the wait time nevertheless.
func TestSetReadTimeoutFlushes(t *testing.T) {
	s, r := stalled(t)
	s.SetReadTimeout(10 * time.Millisecond)
	s.SetWaitTime(400 * time.Millisecond)
	begin := time.Now()
	s.Close()
	receive(t, r.closed, "OnClose")
	if took := time.Since(begin); took < 390*time.Millisecond {
		t.Errorf("OnClose came after %v", took)
	}
}

// TestWritePkgRefuses what is no package, and goes on.
func TestWritePkgRefuses(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		_, addr := serve(t, tr, with(echo()))
		connect(t, tr, addr, 1, with(r, func(s getty.Session) {
			s.SetWriter(codec{write: func(s getty.Session, pkg interface{}) ([]byte, error) {
				if s.Stat() == "" || s.GetAttribute("ignore-reconnect") != false { // a Writer may use the session
					t.Error("the session is not there")
				}
				if pkg == "panic" {
					panic(errTest)
				}
				return lines{}.Write(s, pkg)
			}})
		}))
		s := receive(t, r.opened, "session")
		for _, pkg := range []interface{}{nil, 1, "panic", getty.UDPContext{Pkg: "x"}} {
			if total, sent, err := s.WritePkg(pkg, 0); err == nil || sent != 0 || (total != 0 && pkg != any(getty.UDPContext{Pkg: "x"})) {
				t.Errorf("WritePkg(%v): %d, %d, %v", pkg, total, sent, err)
			}
		}
		for _, pkg := range []interface{}{nil, "x", getty.UDPContext{Pkg: []byte("x")}} {
			if n, err := s.Send(pkg); err == nil || n != 0 {
				t.Errorf("Send(%v): %d, %v", pkg, n, err)
			}
		}
		if _, _, err := s.WritePkg(1, 0); !errors.Is(err, errTest) {
			t.Errorf("the Writer's error is %v", err)
		}
		_, _, err := s.WritePkg("fine", -1)
		must(t, err)
		if got := receive(t, r.messages, "echo"); got != "fine" {
			t.Errorf("the echo is %v", got)
		}
	})
}

// TestD23D24WholeWrites: slices are not changed, can be written again, and leave
// as one, in one WebSocket message (D31), whatever their length.
func TestD23D24WholeWrites(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, peer := record(), record()
		_, addr := serve(t, tr, with(r, func(s getty.Session) {
			if !tr.isTCP() {
				s.SetReader(nil)
			}
		}))
		connect(t, tr, addr, 1, with(peer))
		s := receive(t, peer.opened, "session")
		word := func(i int) string {
			w := strings.Repeat(string(rune('a'+i)), 50_000)
			if tr.isTCP() {
				return w
			}
			return w + "\n"
		}
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				parts := [][]byte{[]byte(strings.Repeat(string(rune('a'+i)), 20_000)), nil, []byte(strings.Repeat(string(rune('a'+i)), 30_000) + "\n")}
				for range 5 {
					if n, err := s.WriteBytesArray(parts...); n != 50_001 || err != nil {
						t.Errorf("WriteBytesArray: %d, %v", n, err)
					}
					if n, err := s.WriteBytes(bytes.Join(parts, nil)); n != 50_001 || err != nil {
						t.Errorf("WriteBytes: %d, %v", n, err)
					}
				}
				if len(parts[0]) != 20_000 || len(parts[2]) != 30_001 {
					t.Error("the slices were changed")
				}
			})
		}
		counts := make(map[string]int)
		for range 40 {
			switch m := receive(t, r.messages, "message").(type) {
			case string:
				counts[m]++
			case []byte:
				counts[string(m)]++
			}
		}
		all.Wait()
		for i := range 4 {
			if counts[word(i)] != 10 {
				t.Errorf("%d whole messages of %q", counts[word(i)], rune('a'+i))
			}
		}
	})
}

// TestSendRaw: bytes that are encoded already, and the counters of Stat.
func TestSendRaw(t *testing.T) {
	r, peer := record(), record()
	_, s := pair(t, transports[0], r, peer)
	if n, err := s.Send([]byte("one\n")); n != 4 || err != nil {
		t.Errorf("Send: %d, %v", n, err)
	}
	if n, err := s.Send([][]byte{[]byte("two\n"), []byte("three\n")}); n != 10 || err != nil {
		t.Errorf("Send: %d, %v", n, err)
	}
	for _, want := range []string{"one", "two", "three"} {
		if got := receive(t, r.messages, "message"); got != want {
			t.Errorf("got %v", got)
		}
	}
	s.IncReadPkgNum()
	s.IncWritePkgNum()
	eventually(t, "the counters", func() bool {
		return strings.Contains(s.Stat(), "Read Bytes: 0, Write Bytes: 14, Read Pkgs: 1, Write Pkgs: 4")
	})
	s.SetName("named")
	if st := s.Stat(); !strings.HasPrefix(st, "session {named:TCP_CLIENT:") || !strings.Contains(st, s.LocalAddr()+"<->"+s.RemoteAddr()) {
		t.Errorf("Stat is %q", st)
	}
}

// TestWriteBeforeOpen: what NewSessionCallback writes is sent first.
func TestWriteBeforeOpen(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, peer := record(), record()
		peer.onOpen = func(s getty.Session) error { _, _, err := s.WritePkg("second", 0); return err }
		_, addr := serve(t, tr, with(r))
		connect(t, tr, addr, 1, with(peer, func(s getty.Session) {
			if total, sent, err := s.WritePkg("first", 0); total != 6 || sent != 6 || err != nil {
				t.Errorf("WritePkg: %d, %d, %v", total, sent, err)
			}
		}))
		for _, want := range []string{"first", "second"} {
			if got := receive(t, r.messages, "message"); got != want {
				t.Errorf("got %v, want %s", got, want)
			}
		}
	})
}

// TestFlushedByClose: what was written before Close arrives.
func TestFlushedByClose(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, peer := record(), record()
		_, s := pair(t, tr, r, peer)
		s.SetAttribute("ignore-reconnect", true)
		for range 100 {
			_, _, err := s.WritePkg(strings.Repeat("x", 10_000), 0)
			must(t, err)
		}
		s.Close()
		receive(t, r.closed, "OnClose")
		if n := len(r.messages); n != 100 {
			t.Errorf("%d messages arrived", n)
		}
	})
}

// TestD05WritesAgainstClose: no write panics, whatever comes first.
func TestD05WritesAgainstClose(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		for range 10 {
			r, peer := record(), record()
			at, s := pair(t, tr, r, peer)
			s.SetAttribute("ignore-reconnect", true)
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					for range 50 {
						_, _, _ = s.WritePkg("x", 0)
						_ = s.Stat() + s.LocalAddr()
						s.SetReadTimeout(time.Second)
						_, _ = s.ReadTimeout(), s.GetActive()
					}
				})
			}
			all.Go(func() { s.CloseConn(1) })
			all.Go(at.Close)
			all.Wait()
			receive(t, peer.closed, "OnClose")
			receive(t, r.closed, "OnClose")
		}
	})
}
