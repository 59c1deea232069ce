// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gxsync "github.com/dubbogo/gost/sync"
	engine "github.com/getty-net/getty"

	"github.com/apache/dubbo-getty"
)

// TestPanics are those of the original: settings out of range, and endpoints
// that lack what they need.
func TestPanics(t *testing.T) {
	addr, number := getty.WithServerAddress("127.0.0.1:1"), getty.WithConnectionNumber(1)
	for text, make := range map[string]func(){
		"TCP_CLIENT needs":   func() { getty.NewTCPClient(addr) },
		"UDP_CLIENT needs":   func() { getty.NewUDPClient(number) },
		"WS_CLIENT needs":    func() { getty.NewWSClient() },
		"want ws://":         func() { getty.NewWSClient(addr, number) },
		"needs a file":       func() { getty.NewWSSClient(getty.WithServerAddress("wss://x"), number) },
		"want wss://":        func() { getty.NewWSSClient(addr, number, getty.WithRootCertificateFile("x")) },
		"NewWSSServer needs": func() { getty.NewWSSServer(getty.WithLocalAddress(":0")) },
		"WSS_SERVER at":      func() { wssServer("nowhere", "nowhere").RunEventLoop(with(record())) },
		"wildcard":           func() { wsServer("/{").RunEventLoop(with(record())) },
		"UDP_ENDPOINT at":    func() { udpEndPoint("127.0.0.1:nobody").RunEventLoop(with(record())) },
		"has no port":        func() { badClient("127.0.0.1").RunEventLoop(with(record())) },
		"has 0 and":          func() { getty.NewTCPClient(addr, getty.WithConnectionNumber(0)) },
	} {
		t.Run(text, func(t *testing.T) { wantPanic(t, text, make) })
	}
	s, _ := pair(t, transports[0], record(), record())
	for text, set := range map[string]func(){
		"SetCronPeriod":   func() { s.SetCronPeriod(0) },
		"SetWaitTime":     func() { s.SetWaitTime(0) },
		"SetReadTimeout":  func() { s.SetReadTimeout(0) },
		"SetWriteTimeout": func() { s.SetWriteTimeout(-1) },
		"no type 11":      func() { s.SetCompressType(11) },
	} {
		wantPanic(t, text, set)
	}
	ws, _ := pair(t, transports[2], record(), record())
	wantPanic(t, "snappy", func() { ws.SetCompressType(getty.CompressSnappy) })
	wantPanic(t, "no type 11", func() { ws.SetCompressType(11) })
}

func wssServer(cert, key string) getty.Server {
	return getty.NewWSSServer(getty.WithLocalAddress("127.0.0.1:0"),
		getty.WithWebsocketServerCert(cert), getty.WithWebsocketServerPrivateKey(key))
}

func wsServer(path string) getty.Server {
	return getty.NewWSServer(getty.WithLocalAddress("127.0.0.1:0"), getty.WithWebsocketServerPath(path))
}

func udpEndPoint(addr string) getty.Server { return getty.NewUDPEndPoint(getty.WithLocalAddress(addr)) }

func badClient(addr string) getty.Client {
	return getty.NewTCPClient(getty.WithServerAddress(addr), getty.WithConnectionNumber(1))
}

// TestSessionWithoutParts: a client panics in RunEventLoop if its sessions lack a
// listener or a codec, or if NewSessionCallback panics; a server, which has nobody
// to tell, refuses the session, says why in the log and goes on (D33).
func TestSessionWithoutParts(t *testing.T) {
	m := remembered(t)
	for text, setUp := range map[string]getty.NewSessionCallback{
		"EventListener":        func(s getty.Session) error { s.SetPkgHandler(lines{}); return nil },
		"Writer":               func(s getty.Session) error { s.SetReader(lines{}); s.SetEventListener(record()); return nil },
		"Reader":               func(s getty.Session) error { s.SetWriter(lines{}); s.SetEventListener(record()); return nil },
		"SetReadTimeout":       func(s getty.Session) error { s.SetReadTimeout(0); return nil },
		"not a tcp connection": func(getty.Session) error { panic("not a tcp connection") },
		"nil pointer":          nil,
	} {
		t.Run(text, func(t *testing.T) {
			fine := record()
			first := true
			_, addr := serve(t, transports[0], func(s getty.Session) error {
				if first {
					first = false
					return setUp(s)
				}
				return with(fine)(s)
			})
			refused := record()
			connect(t, transports[0], addr, 1, with(refused))
			receive(t, refused.closed, "OnClose of the refused session's peer")
			if log := m.text(); !strings.Contains(log, "error getty: a session is refused endpoint=TCP_SERVER") || !strings.Contains(log, text) {
				t.Errorf("the log is %s", log)
			}
			connect(t, transports[0], addr, 1, with(record()))
			receive(t, fine.opened, "session")
			wantPanic(t, text, func() { connect(t, transports[0], addr, 1, setUp) })
		})
	}
}

// TestReconnectingPanics: a panic in NewSessionCallback after RunEventLoop has
// returned is logged as an error, with its stack, and fails that attempt alone.
func TestReconnectingPanics(t *testing.T) {
	m, r := remembered(t), record()
	_, addr := serve(t, transports[0], with(record()))
	var calls atomic.Int32
	connect(t, transports[0], addr, 1, func(s getty.Session) error {
		if calls.Add(1) == 2 {
			panic(errTest)
		}
		return with(r)(s)
	}, fast)
	receive(t, r.opened, "session").Close()
	receive(t, r.opened, "session in its place")
	if log := m.text(); calls.Load() != 3 || !strings.Contains(log, "error getty: a session is refused endpoint=TCP_CLIENT") ||
		!strings.Contains(log, "callback: test") || !strings.Contains(log, "setters_test.go") {
		t.Errorf("%d attempts; the log is %s", calls.Load(), log)
	}
}

// TestAddressWithoutPort: the system chooses one, for TLS as well (D45).
func TestAddressWithoutPort(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		_, addr := serveAt(t, tr, "127.0.0.1", with(echo()))
		connect(t, tr, addr, 1, with(r))
		_, _, err := receive(t, r.opened, "session").WritePkg("x", 0)
		must(t, err)
		receive(t, r.messages, "echo")
	})
	s := getty.NewUDPEndPoint()
	s.RunEventLoop(with(record()))
	defer s.Close()
	if s.(getty.PacketServer).PacketConn().LocalAddr() == nil {
		t.Error("there is no address")
	}
}

// TestCron: milliseconds, one at a time, until the end, with another period as
// soon as it is set.
func TestCron(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		_, addr := serve(t, tr, with(record()))
		connect(t, tr, addr, 1, with(r, func(s getty.Session) {
			s.SetCronPeriod(20)
			s.SetAttribute("ignore-reconnect", true)
		}))
		s := receive(t, r.opened, "session")
		begin := time.Now()
		for range 3 {
			if receive(t, r.crons, "OnCron") != s {
				t.Error("it is another session")
			}
		}
		if took := time.Since(begin); took < 50*time.Millisecond || took > time.Second {
			t.Errorf("three periods took %v", took)
		}
		s.SetCronPeriod(3_600_000)
		for len(r.crons) > 0 {
			<-r.crons
		}
		wantNone(t, r.crons, "OnCron")
		s.SetCronPeriod(1)
		receive(t, r.crons, "OnCron")
		s.Close()
		receive(t, r.closed, "OnClose")
		for len(r.crons) > 0 {
			<-r.crons
		}
		wantNone(t, r.crons, "OnCron after OnClose")
	})
}

// TestD10CronIsItsOwn: one that blocks stops no other, one that panics ends its session.
func TestD10CronIsItsOwn(t *testing.T) {
	r, other := record(), record()
	gate := make(chan struct{})
	r.onCron = func(getty.Session) { <-gate; panic(errTest) }
	_, addr := serve(t, transports[0], with(record()))
	cron := func(s getty.Session) { s.SetCronPeriod(1) }
	ignore := func(s getty.Session) { s.SetAttribute("ignore-reconnect", true) }
	connect(t, transports[0], addr, 1, with(r, cron, ignore))
	connect(t, transports[0], addr, 1, with(other, cron))
	for range 5 {
		receive(t, other.crons, "OnCron")
	}
	close(gate)
	receive(t, r.errs, "OnError")
	receive(t, r.closed, "OnClose")
	receive(t, other.crons, "OnCron")
}

// TestCronOnTaskPool, where it may overlap itself.
func TestCronOnTaskPool(t *testing.T) {
	pool := gxsync.NewTaskPoolSimple(10)
	t.Cleanup(pool.Close)
	r := record()
	running, gate := make(chan struct{}, 100), make(chan struct{})
	r.onCron = func(getty.Session) { running <- struct{}{}; <-gate }
	_, addr := serve(t, transports[0], with(record()))
	connect(t, transports[0], addr, 1, with(r, func(s getty.Session) { s.SetCronPeriod(1) }), getty.WithClientTaskPool(pool))
	receive(t, running, "OnCron")
	receive(t, running, "second OnCron")
	close(gate)
}

// TestWebSocketPings: one each period, which keeps the peer's session active.
func TestWebSocketPings(t *testing.T) {
	r := record()
	_, addr := serve(t, transports[2], with(r))
	connect(t, transports[2], addr, 1, with(record(), func(s getty.Session) { s.SetCronPeriod(10) }))
	s := receive(t, r.opened, "session")
	first := s.GetActive()
	eventually(t, "a ping", func() bool { return s.GetActive().After(first) })
}

// TestSettersWhileRunning: listener, codec and name are replaced for good.
func TestSettersWhileRunning(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, later := record(), record()
		at, s := pair(t, tr, r, record())
		s.SetAttribute("ignore-reconnect", true)
		write := func(text string) {
			t.Helper()
			_, _, err := s.WritePkg(text, 0)
			must(t, err)
		}
		write("1")
		receive(t, r.messages, "message")
		at.SetEventListener(later)
		at.SetReader(codec{read: func(s getty.Session, data []byte) (interface{}, int, error) {
			pkg, n, err := lines{}.Read(s, data)
			if text, ok := pkg.(string); ok {
				pkg = "read " + text
			}
			return pkg, n, err
		}})
		s.SetWriter(codec{write: func(s getty.Session, pkg interface{}) ([]byte, error) {
			return lines{}.Write(s, "written "+pkg.(string))
		}})
		at.SetName("another")
		write("2")
		if got := receive(t, later.messages, "message"); got != "read written 2" {
			t.Errorf("the message is %v", got)
		}
		if !strings.Contains(at.Stat(), "{another:") {
			t.Errorf("Stat is %q", at.Stat())
		}
		at.SetPkgHandler(lines{})
		s.SetPkgHandler(lines{})
		write("3")
		if got := receive(t, later.messages, "message"); got != "3" {
			t.Errorf("the message is %v", got)
		}
		s.Close()
		receive(t, later.closed, "OnClose")
		if len(r.closed) > 0 {
			t.Error("the first listener was told")
		}
	})
}

// TestReadTimeoutEndsNothing, neither of a stream nor of packets.
func TestReadTimeoutEndsNothing(t *testing.T) {
	const timeout = 5 * time.Millisecond
	silent := func(t *testing.T, at, s getty.Session, r, peer *recorder, pkg interface{}) {
		t.Helper()
		for _, s := range []getty.Session{at, s} {
			s.SetReadTimeout(timeout)
			if s.ReadTimeout() != timeout {
				t.Errorf("ReadTimeout is %v", s.ReadTimeout())
			}
		}
		wantNone(t, r.closed, "OnClose")
		wantNone(t, peer.closed, "OnClose of the peer")
		_, _, err := s.WritePkg(pkg, 0)
		must(t, err)
		receive(t, r.messages, "message")
		if len(r.errs)+len(peer.errs) > 0 {
			t.Error("there is an OnError")
		}
	}
	eachTransport(t, func(t *testing.T, tr transport) {
		r, peer := record(), record()
		at, s := pair(t, tr, r, peer)
		silent(t, at, s, r, peer, "x")
	})
	r, peer := record(), record()
	_, addr := udpServe(t, with(r))
	udpConnect(t, addr, 1, with(peer))
	silent(t, receive(t, r.opened, "session"), receive(t, peer.opened, "session"), r, peer, getty.UDPContext{Pkg: "x"})
}

// TestWebSocketSettersWhileRunning: SetMaxMsgLen lowers the limit of messages, but
// that of frames is the one of NewSessionCallback, and so is compression.
func TestWebSocketSettersWhileRunning(t *testing.T) {
	for _, tr := range transports[2:] {
		t.Run(tr.name, func(t *testing.T) {
			r, peer := record(), record()
			_, addr := serve(t, tr, with(r, func(s getty.Session) { s.SetMaxMsgLen(1000) }))
			connect(t, tr, addr, 1, with(peer, func(s getty.Session) { s.SetAttribute("ignore-reconnect", true) }))
			at, s := receive(t, r.opened, "session"), receive(t, peer.opened, "session")
			s.SetCompressType(getty.CompressZip)
			at.SetMaxMsgLen(100)
			for _, n := range []int{200, 50} {
				_, _, err := s.WritePkg(strings.Repeat("x", n), 0)
				must(t, err)
			}
			if got := receive(t, r.messages, "message").(string); len(got) != 50 {
				t.Errorf("a message has %d bytes", len(got))
			}
			at.SetMaxMsgLen(1 << 20)
			_, _, err := s.WritePkg(strings.Repeat("x", 2000), 0)
			must(t, err)
			if err := receive(t, r.errs, "OnError"); !errors.Is(err, engine.ErrMessageTooLong) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestDefaultMaxMsgLen of streams and WebSocket is 4096.
func TestDefaultMaxMsgLen(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r, peer := record(), record()
		_, addr := serve(t, tr, func(s getty.Session) error {
			s.SetPkgHandler(lines{})
			s.SetEventListener(r)
			return nil
		})
		connect(t, tr, addr, 1, with(peer, func(s getty.Session) { s.SetAttribute("ignore-reconnect", true) }))
		s := receive(t, peer.opened, "session")
		for _, n := range []int{4095, 4096} { // and the end of the line
			_, _, err := s.WritePkg(strings.Repeat("x", n), 0)
			must(t, err)
		}
		if got := receive(t, r.messages, "message").(string); len(got) != 4095 {
			t.Errorf("the message has %d bytes", len(got))
		}
		if err := receive(t, r.errs, "OnError"); !errors.Is(err, engine.ErrMessageTooLong) {
			t.Errorf("the error is %v", err)
		}
		receive(t, r.closed, "OnClose")
		wantNone(t, r.messages, "further message")
	})
}

// TestPaths of WebSocket are those of http.ServeMux.
func TestPaths(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		ok            bool
	}{
		{"", "/any", true},
		{"/", "/any", true},
		{"/echo", "/echo", true},
		{"/echo", "/other", false},
		{"/echo/", "/echo/deeper", true},
		{"/echo/", "/other", false},
		{"GET /rooms/{id}", "/rooms/1", true},
	} {
		t.Run(c.pattern+"~"+c.path, func(t *testing.T) {
			s := wsServer(c.pattern)
			s.RunEventLoop(with(echo()))
			defer s.Close()
			addr := s.(getty.StreamServer).Listener().Addr().String()
			cl := getty.NewWSClient(getty.WithServerAddress("ws://"+addr+c.path), getty.WithConnectionNumber(1))
			defer cl.Close()
			r := record()
			go cl.RunEventLoop(with(r))
			if !c.ok {
				wantNone(t, r.opened, "session")
				return
			}
			_, _, err := receive(t, r.opened, "session").WritePkg("x", 0)
			must(t, err)
			receive(t, r.messages, "echo")
		})
	}
}

// TestEndPointTypes and their names.
func TestEndPointTypes(t *testing.T) {
	if len(getty.EndPointType_name) != 8 || len(getty.EndPointType_value) != 8 {
		t.Error("there are not eight")
	}
	for value, name := range getty.EndPointType_name {
		if x := getty.EndPointType(value); x.String() != name || getty.EndPointType_value[name] != value {
			t.Errorf("%d is %s, %d", value, x, getty.EndPointType_value[name])
		}
	}
	if name := getty.EndPointType(77).String(); name != "77" {
		t.Errorf("77 is %s", name)
	}
	a, b := badClient("127.0.0.1:1"), badClient("127.0.0.1:1")
	if a.ID()+1 != b.ID() || a.EndPointType() != getty.TCP_CLIENT {
		t.Errorf("%d, %d, %v", a.ID(), b.ID(), a.EndPointType())
	}
}
