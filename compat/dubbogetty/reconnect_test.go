// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/dubbo-getty"
	"github.com/apache/dubbo-getty/dropin"
)

// fast is a short reconnect interval, in nanoseconds.
var fast = getty.WithReconnectInterval(int(10 * time.Millisecond))

// restart opens a pool of two, closes its server in an orderly way, waits for
// the sessions' ends, and starts the server again.
func restart(t *testing.T, tr transport) (client getty.Client, r *recorder) {
	t.Helper()
	r = record()
	server := record()
	s, addr := serve(t, tr, with(server))
	client = connect(t, tr, addr, 2, with(r), fast)
	for range 2 {
		receive(t, r.opened, "session")
		receive(t, server.opened, "session of the server") // what it has not accepted yet is reset
	}
	s.Close()
	for range 2 {
		receive(t, r.closed, "OnClose")
	}
	serveAt(t, tr, addr, with(record()))
	return client, r
}

// TestEOFStopsReconnecting over TCP, as ever, and not over WebSocket.
func TestEOFStopsReconnecting(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, r := restart(t, tr)
		if tr.isTCP() {
			wantNone(t, r.opened, "session after EOF")
			return
		}
		for range 2 {
			receive(t, r.opened, "session after a close frame")
		}
	})
}

// TestRunEventLoopAgain fills a pool that has shrunk.
func TestRunEventLoopAgain(t *testing.T) {
	c, r := restart(t, transports[0])
	c.RunEventLoop(with(r))
	for range 2 {
		receive(t, r.opened, "session")
	}
}

// TestD17ReconnectOnEOF is what dropin.SetReconnectOnEOF chooses.
func TestD17ReconnectOnEOF(t *testing.T) {
	dropin.SetReconnectOnEOF(true)
	t.Cleanup(func() { dropin.SetReconnectOnEOF(false) })
	for _, tr := range transports[:2] {
		t.Run(tr.name, func(t *testing.T) {
			_, r := restart(t, tr)
			for range 2 {
				receive(t, r.opened, "session after EOF")
			}
		})
	}
}

// TestAttributesOfClients: what they come with, and what EOF makes of it.
func TestAttributesOfClients(t *testing.T) {
	r := record()
	ignore := make(chan interface{}, 1)
	r.onClose = func(s getty.Session) { ignore <- s.GetAttribute("ignore-reconnect") }
	at, s := pair(t, transports[0], record(), r)
	if s.GetAttribute("ignore-reconnect") != false || s.GetAttribute("session-client-owner") != s.EndPoint() {
		t.Errorf("%v, %v", s.GetAttribute("ignore-reconnect"), s.GetAttribute("session-client-owner"))
	}
	if at.GetAttribute("ignore-reconnect") != nil {
		t.Error("the server's session has the attribute, too")
	}
	at.Close()
	if v := receive(t, ignore, "OnClose"); v != true {
		t.Errorf("after EOF it is %v", v)
	}
}

// TestIgnoreReconnect leaves a session out, whatever ends it.
func TestIgnoreReconnect(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, addr := serve(t, tr, with(record()))
		r := record()
		connect(t, tr, addr, 2, with(r), fast)
		first, second := receive(t, r.opened, "session"), receive(t, r.opened, "session")
		first.SetAttribute("ignore-reconnect", true)
		first.Close()
		wantNone(t, r.opened, "session for the one that was to be ignored")
		second.Close()
		third := receive(t, r.opened, "session for the other")
		third.RemoveAttribute("ignore-reconnect")
		third.Close()
		wantNone(t, r.opened, "session for one without the attribute")
	})
}

// TestIgnoreReconnectEarly: it counts as well when it is set before the session is
// open. The original sets it to false after that.
func TestIgnoreReconnectEarly(t *testing.T) {
	ignore := func(s getty.Session) { s.SetAttribute("ignore-reconnect", true) }
	nothing := func(getty.Session) {}
	for name, set := range map[string]struct{ setUp, open func(getty.Session) }{
		"in NewSessionCallback": {ignore, nothing},
		"in OnOpen":             {nothing, ignore},
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := serve(t, transports[0], with(record()))
			r := record()
			r.onOpen = func(s getty.Session) error { set.open(s); return nil }
			connect(t, transports[0], addr, 1, with(r, set.setUp), fast)
			receive(t, r.opened, "session").Close()
			receive(t, r.closed, "OnClose")
			wantNone(t, r.opened, "session in its place")
		})
	}
}

// TestResetIsReplaced: anything but the end of the stream is a loss.
func TestResetIsReplaced(t *testing.T) {
	server, r := record(), record()
	server.onOpen = func(s getty.Session) error { return s.Conn().(*net.TCPConn).SetLinger(0) }
	_, addr := serve(t, transports[0], with(server))
	connect(t, transports[0], addr, 1, with(r), fast)
	receive(t, r.opened, "session")
	receive(t, server.opened, "session of the server").CloseConn(0)
	receive(t, r.errs, "OnError")
	receive(t, r.closed, "OnClose")
	receive(t, r.opened, "session in its place")
}

// TestAttemptsLimit: against a server that accepts and closes, RunEventLoop
// returns after one session more than the pool has, and so it does if sessions
// close themselves before they are open. Failed dials do not count.
func TestAttemptsLimit(t *testing.T) {
	nothing := func(getty.Session) {}
	for name, c := range map[string]struct {
		setUp func(getty.Session)
		open  func(getty.Session) error
	}{
		"closed by the server":             {nothing, nil},
		"refused by the own OnOpen":        {nothing, func(getty.Session) error { return errTest }},
		"a panic in the own OnOpen":        {nothing, func(getty.Session) error { panic(errTest) }},
		"closed in the own OnOpen":         {nothing, func(s getty.Session) error { s.Close(); return nil }},
		"closed in the NewSessionCallback": {getty.Session.Close, func(getty.Session) error { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			server, r := record(), record()
			open := c.open
			if r.onOpen = open; open == nil {
				server.onOpen = func(getty.Session) error { return errTest }
			}
			_, addr := serve(t, transports[0], with(server))
			connect(t, transports[0], addr, 3, with(r, c.setUp), fast)
			for range 3 {
				receive(t, r.opened, "attempt")
			}
			select {
			case <-r.opened:
			case <-time.After(quiet):
				if open != nil { // otherwise all were open before the first was closed: then the pool was full
					t.Error("there is no fourth attempt")
				}
			}
			wantNone(t, r.opened, "further attempt")
			for range 3 {
				receive(t, r.closed, "OnClose")
			}
		})
	}
}

// TestDialsUntilThereIsAServer: RunEventLoop waits for it.
func TestDialsUntilThereIsAServer(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		s, addr := serve(t, tr, with(record()))
		s.Close()
		r, done := record(), make(chan getty.Client, 1)
		c := tr.client(t, addr, getty.WithConnectionNumber(2), fast)
		t.Cleanup(c.Close)
		go func() { c.RunEventLoop(with(r)); done <- c }()
		wantNone(t, done, "return without a server")
		serveAt(t, tr, addr, with(record()))
		receive(t, done, "return with one")
		if len(r.opened) != 2 {
			t.Errorf("%d sessions", len(r.opened))
		}
	})
}

// TestD20CloseEndsDialing at once.
func TestD20CloseEndsDialing(t *testing.T) {
	s, addr := serve(t, transports[0], with(record()))
	s.Close()
	done := make(chan bool, 1)
	c := transports[0].client(t, addr, getty.WithConnectionNumber(2))
	go func() { c.RunEventLoop(with(record())); done <- c.IsClosed() }()
	wantNone(t, done, "return without a server")
	c.Close()
	if !receive(t, done, "return") {
		t.Error("it is not closed")
	}
	c.RunEventLoop(with(record())) // returns
}

// TestD01D02CloseDoesNotDial: with the server gone, Close returns at once, from
// OnCron as well, and OnError and OnClose come before any reconnecting.
func TestD01D02CloseDoesNotDial(t *testing.T) {
	server, r := record(), record()
	var slowest atomic.Int64
	r.onCron = func(s getty.Session) {
		begin := time.Now()
		s.Close()
		slowest.Store(max(slowest.Load(), int64(time.Since(begin))))
	}
	s, addr := serve(t, transports[0], with(server))
	connect(t, transports[0], addr, 2, with(r, func(s getty.Session) { s.SetCronPeriod(300) }), fast)
	l := s.(getty.StreamServer).Listener()
	must(t, l.Close()) // nobody can connect any more
	first := receive(t, server.opened, "session")
	must(t, first.Conn().(*net.TCPConn).SetLinger(0))
	begin := time.Now()
	first.CloseConn(0)
	receive(t, r.errs, "OnError")
	receive(t, r.closed, "OnClose")
	if took := time.Since(begin); took > 250*time.Millisecond {
		t.Errorf("OnClose came after %v", took)
	}
	receive(t, r.closed, "OnClose of the session that closed in OnCron")
	if d := time.Duration(slowest.Load()); d > 100*time.Millisecond {
		t.Errorf("Close took %v", d)
	}
}

// TestD19NewSessionFails: the client tries again, and not in a hot loop.
func TestD19NewSessionFails(t *testing.T) {
	_, addr := serve(t, transports[0], with(record()))
	r := record()
	var calls atomic.Int32
	begin := time.Now()
	connect(t, transports[0], addr, 1, func(s getty.Session) error {
		if calls.Add(1) < 4 {
			return errTest
		}
		return with(r)(s)
	}, getty.WithReconnectInterval(int(40*time.Millisecond)))
	receive(t, r.opened, "session")
	if took := time.Since(begin); calls.Load() != 4 || took < 60*time.Millisecond {
		t.Errorf("%d attempts in %v", calls.Load(), took)
	}
	if len(r.closed)+len(r.errs) > 0 {
		t.Error("the failed ones had callbacks")
	}
}

// TestReconnectInterval is in nanoseconds; 0 and less mean 300 ms.
func TestReconnectInterval(t *testing.T) {
	for _, c := range []struct{ interval, least, most time.Duration }{
		{0, 120 * time.Millisecond, time.Second},
		{-1, 120 * time.Millisecond, time.Second},
		{20 * time.Millisecond, 8 * time.Millisecond, 110 * time.Millisecond},
		{1, 0, 90 * time.Millisecond},
	} {
		_, addr := serve(t, transports[0], with(record()))
		times := make(chan time.Time, 2)
		connect(t, transports[0], addr, 1, func(s getty.Session) error {
			times <- time.Now()
			if len(times) < 2 {
				return errTest
			}
			return with(record())(s)
		}, getty.WithReconnectInterval(int(c.interval)))
		if pause := -time.Until(<-times) + time.Until(<-times); pause < c.least || pause > c.most {
			t.Errorf("with %v the pause is %v", c.interval, pause)
		}
	}
}
