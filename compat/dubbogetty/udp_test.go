// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	gxsync "github.com/dubbogo/gost/sync"

	"github.com/apache/dubbo-getty"
)

func udpServe(t testing.TB, setUp getty.NewSessionCallback, opts ...getty.ServerOption) (getty.Server, string) {
	t.Helper()
	s := getty.NewUDPEndPoint(append(opts, getty.WithLocalAddress("127.0.0.1:0"))...)
	s.RunEventLoop(setUp)
	t.Cleanup(s.Close)
	return s, s.(getty.PacketServer).PacketConn().LocalAddr().String()
}

func udpConnect(t testing.TB, addr string, size int, setUp getty.NewSessionCallback) getty.Client {
	t.Helper()
	c := getty.NewUDPClient(getty.WithServerAddress(addr), getty.WithConnectionNumber(size))
	t.Cleanup(c.Close)
	c.RunEventLoop(setUp)
	return c
}

// TestUDPOneSession: an endpoint has one session for all its peers, to each of
// which it answers; a client's session is a connected socket.
func TestUDPOneSession(t *testing.T) {
	r, peers := echo(), record()
	_, addr := udpServe(t, with(r))
	udpConnect(t, addr, 3, with(peers))
	for range 3 {
		s := receive(t, peers.opened, "session")
		if _, ok := s.Conn().(*net.UDPConn); !ok || s.RemoteAddr() != addr {
			t.Errorf("Conn is a %T to %s", s.Conn(), s.RemoteAddr())
		}
		ctx := getty.UDPContext{Pkg: "hello"}
		for _, pkg := range []interface{}{ctx, &ctx} {
			if total, sent, err := s.WritePkg(pkg, 0); total != 6 || sent != 6 || err != nil {
				t.Fatalf("WritePkg: %d, %d, %v", total, sent, err)
			}
			got := receive(t, peers.messages, "echo").(getty.UDPContext)
			if got.Pkg != "hello" || got.PeerAddr.String() != addr {
				t.Errorf("the echo is %v", got)
			}
		}
		if ctx.Pkg != "hello" {
			t.Errorf("WritePkg has changed the package to %v", ctx.Pkg)
		}
	}
	s := receive(t, r.opened, "session of the endpoint")
	if len(r.opened) != 0 || s.RemoteAddr() != "" || s.LocalAddr() != addr {
		t.Errorf("%d further sessions, %q, %q", len(r.opened), s.RemoteAddr(), s.LocalAddr())
	}
	if _, ok := s.Conn().(*net.UDPConn); !ok {
		t.Errorf("Conn is a %T", s.Conn())
	}
	if st := s.Stat(); !strings.Contains(st, "Read Bytes: 36, Write Bytes: 36, Read Pkgs: 6, Write Pkgs: 6") {
		t.Errorf("Stat is %q", st)
	}
}

// TestUDPSocketInSetUp: the endpoint has its socket already.
func TestUDPSocketInSetUp(t *testing.T) {
	var addr net.Addr
	s, want := udpServe(t, with(record(), func(s getty.Session) {
		addr = s.EndPoint().(getty.PacketServer).PacketConn().LocalAddr()
	}))
	if addr == nil || addr.String() != want {
		t.Errorf("the address is %v", addr)
	}
	s.Close()
	if s.(getty.PacketServer).PacketConn() != nil {
		t.Error("there is a socket after Close")
	}
}

// TestUDPSends needs a UDPContext, and from an endpoint an address.
func TestUDPSends(t *testing.T) {
	r, peers := record(), record()
	_, addr := udpServe(t, with(r))
	udpConnect(t, addr, 1, with(peers))
	at, s := receive(t, r.opened, "session"), receive(t, peers.opened, "session")
	at.SetWriter(codec{write: func(getty.Session, interface{}) ([]byte, error) { return []byte("x\n"), nil }})
	if _, _, err := at.WritePkg(getty.UDPContext{Pkg: "x"}, 0); !errors.Is(err, getty.ErrNullPeerAddr) {
		t.Errorf("WritePkg to nobody: %v", err)
	}
	for _, s := range []getty.Session{at, s} {
		if _, _, err := s.WritePkg("x", 0); err == nil {
			t.Error("WritePkg without a UDPContext succeeds")
		}
		if _, _, err := s.WritePkg((*getty.UDPContext)(nil), 0); err == nil {
			t.Error("WritePkg of a nil *UDPContext succeeds")
		}
		if _, err := s.Send([]byte("x")); err == nil {
			t.Error("Send without a UDPContext succeeds")
		}
		if _, err := s.WriteBytes([]byte("x")); err == nil {
			t.Error("WriteBytes without a UDPContext succeeds")
		}
	}
	n, err := s.Send(getty.UDPContext{Pkg: []byte("raw\n")})
	if n != 4 || err != nil {
		t.Errorf("Send: %d, %v", n, err)
	}
	if got := receive(t, r.messages, "message").(getty.UDPContext); got.Pkg != "raw" {
		t.Errorf("the message is %v", got)
	}
}

// whole is a Reader that makes a package of all it is given, but for what begins with "bad".
var whole = codec{read: func(_ getty.Session, data []byte) (interface{}, int, error) {
	if strings.HasPrefix(string(data), "bad") {
		return nil, 0, errTest
	}
	return string(data), len(data), nil
}}

func wholly(s getty.Session) { s.SetReader(whole) }

// TestD37ConnectPing: the probe of the original is dropped by both sides, and is
// sent by none, neither at first nor by cron; a client is open at once.
func TestD37ConnectPing(t *testing.T) {
	nc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer nc.Close()
	begin := time.Now()
	r := record()
	udpConnect(t, nc.LocalAddr().String(), 1, with(r, wholly, func(s getty.Session) { s.SetCronPeriod(1) }))
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("opening took %v", took)
	}
	s := receive(t, r.opened, "session")
	var peer net.Addr
	must(t, nc.SetReadDeadline(time.Now().Add(patience)))
	for _, text := range []string{"first\n", "second\n"} {
		_, err = s.Send(getty.UDPContext{Pkg: []byte(text)})
		must(t, err)
		buf, n := make([]byte, 100), 0
		n, peer, err = nc.ReadFrom(buf)
		must(t, err)
		if string(buf[:n]) != text {
			t.Errorf("a packet is %q, want %q", buf[:n], text)
		}
		for range 3 {
			receive(t, r.crons, "OnCron")
		}
	}
	packets := []string{"connect-ping", "", "bad", "last"}
	for _, text := range packets {
		_, err := nc.WriteTo([]byte(text), peer)
		must(t, err)
	}
	if got := receive(t, r.messages, "message").(getty.UDPContext); got.Pkg != "last" {
		t.Errorf("the message is %v", got)
	}
	server := record()
	_, addr := udpServe(t, with(server, wholly))
	probe, err := net.Dial("udp", addr)
	must(t, err)
	defer probe.Close()
	for _, text := range packets {
		_, err := probe.Write([]byte(text))
		must(t, err)
	}
	got := receive(t, server.messages, "message").(getty.UDPContext)
	if got.Pkg != "last" || got.PeerAddr.String() != probe.LocalAddr().String() {
		t.Errorf("the message is %v", got)
	}
	wantNone(t, server.errs, "OnError")
}

// TestUDPTooLong: packets beyond SetMaxMsgLen are dropped, by default those of
// more than 4096 bytes.
func TestUDPTooLong(t *testing.T) {
	for name, limit := range map[string]int{"default": 0, "set": 100} {
		t.Run(name, func(t *testing.T) {
			server, client := record(), record()
			bare := func(r *recorder) getty.NewSessionCallback {
				return func(s getty.Session) error {
					s.SetPkgHandler(whole)
					s.SetEventListener(r)
					return nil
				}
			}
			_, addr := udpServe(t, bare(server))
			udpConnect(t, addr, 1, bare(client))
			at, s := receive(t, server.opened, "session"), receive(t, client.opened, "session")
			size := 4096
			if limit > 0 {
				size = limit
				at.SetMaxMsgLen(limit)
				s.SetMaxMsgLen(limit)
			}
			send := func(n int, s getty.Session, peer *net.UDPAddr) {
				t.Helper()
				_, err := s.Send(getty.UDPContext{Pkg: []byte(strings.Repeat("x", n)), PeerAddr: peer})
				must(t, err)
			}
			want := func(r *recorder) *net.UDPAddr {
				t.Helper()
				got := receive(t, r.messages, "message").(getty.UDPContext)
				if n := len(got.Pkg.(string)); n != size {
					t.Errorf("the message has %d bytes, want %d", n, size)
				}
				return got.PeerAddr
			}
			send(size+1, s, nil)
			send(size, s, nil)
			peer := want(server)
			send(size+1, at, peer)
			send(size, at, peer)
			want(client)
			wantNone(t, server.errs, "OnError")
			wantNone(t, client.errs, "OnError of the client")
		})
	}
}

// TestUDPReaderReturns: only a nil interface with no length is no package, and
// nothing that was read is held against the session.
func TestUDPReaderReturns(t *testing.T) {
	type pkg struct{}
	for name, p := range map[string]interface{}{
		"nil": nil, "typed nil": (*pkg)(nil), "nil slice": []byte(nil), "empty slice": []byte{}, "zero": 0, "empty string": "",
	} {
		t.Run(name, func(t *testing.T) {
			server, client := record(), record()
			odd := func(s getty.Session) {
				s.SetReader(codec{read: func(_ getty.Session, data []byte) (interface{}, int, error) { return p, len(data), nil }})
			}
			_, addr := udpServe(t, with(server, odd))
			udpConnect(t, addr, 1, with(client, odd))
			_, err := receive(t, client.opened, "session").Send(getty.UDPContext{Pkg: []byte("x")})
			must(t, err)
			got := receive(t, server.messages, "message").(getty.UDPContext)
			_, err = receive(t, server.opened, "session").Send(getty.UDPContext{Pkg: []byte("y"), PeerAddr: got.PeerAddr})
			must(t, err)
			for _, got := range []getty.UDPContext{got, receive(t, client.messages, "answer").(getty.UDPContext)} {
				if fmt.Sprintf("%#v", got.Pkg) != fmt.Sprintf("%#v", p) {
					t.Errorf("the message is %#v, want %#v", got.Pkg, p)
				}
			}
		})
	}
}

// TestUDPClientWithoutServer: a client opens, and its session outlives that its
// packets are refused.
func TestUDPClientWithoutServer(t *testing.T) {
	s, addr := udpServe(t, with(record()))
	s.Close()
	r := record()
	udpConnect(t, addr, 1, with(r))
	ss := receive(t, r.opened, "session")
	for range 5 {
		_, _, _ = ss.WritePkg(getty.UDPContext{Pkg: "lost"}, 0)
		time.Sleep(time.Millisecond) // until the refusal is back
	}
	server := record()
	late := getty.NewUDPEndPoint(getty.WithLocalAddress(addr))
	late.RunEventLoop(with(server))
	t.Cleanup(late.Close)
	eventually(t, "a message", func() bool {
		_, _, _ = ss.WritePkg(getty.UDPContext{Pkg: "found"}, 0)
		return len(server.messages) > 0
	})
	if len(r.errs)+len(r.closed) > 0 {
		t.Error("the session has ended")
	}
}

// TestUDPEnds: Close ends the endpoint's session, and the session's Close the
// socket, also in NewSessionCallback.
func TestUDPEnds(t *testing.T) {
	for name, end := range map[string]func(getty.Server, getty.Session){
		"endpoint": func(s getty.Server, _ getty.Session) { s.Close() },
		"session":  func(_ getty.Server, s getty.Session) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			r := record()
			s, addr := udpServe(t, with(r))
			ss := receive(t, r.opened, "session")
			end(s, ss)
			receive(t, r.closed, "OnClose")
			wantNone(t, r.errs, "OnError")
			eventually(t, "zero values", func() bool { return ss.ID() == 0 })
			wantZero(t, ss)
			nc, err := net.ListenPacket("udp", addr)
			must(t, err)
			nc.Close()
		})
	}
	r := record()
	udpServe(t, with(r, getty.Session.Close))
	receive(t, r.closed, "OnClose of a session that was closed in NewSessionCallback")
	r = record()
	_, addr := udpServe(t, with(record()))
	udpConnect(t, addr, 1, with(r)).Close()
	receive(t, r.closed, "OnClose of the client")
	wantNone(t, r.errs, "OnError of the client")
}

// TestUDPPanics: one in a callback ends the session with its error.
func TestUDPPanics(t *testing.T) {
	r := record()
	r.onMessage = func(getty.Session, interface{}) { panic(errTest) }
	_, addr := udpServe(t, with(r))
	nc, err := net.Dial("udp", addr)
	must(t, err)
	defer nc.Close()
	_, err = nc.Write([]byte("x\n"))
	must(t, err)
	if err := receive(t, r.errs, "OnError"); !errors.Is(err, errTest) {
		t.Errorf("the error is %v", err)
	}
	receive(t, r.closed, "OnClose")
	for text, setUp := range map[string]getty.NewSessionCallback{
		"test":           func(getty.Session) error { return errTest },
		"callback: test": func(getty.Session) error { panic(errTest) },
		"nil pointer":    nil,
		"EventListener":  func(s getty.Session) error { s.SetPkgHandler(lines{}); return nil },
		"Writer":         func(s getty.Session) error { s.SetReader(lines{}); s.SetEventListener(record()); return nil },
		"no type 11":     func(s getty.Session) error { s.SetCompressType(11); return nil },
	} {
		wantPanic(t, text, func() { getty.NewUDPEndPoint().RunEventLoop(setUp) })
		if text != "test" { // a client tries again
			wantPanic(t, text, func() { udpConnect(t, addr, 1, setUp) })
		}
	}
}

// TestUDPTaskPool: packets do not alias the buffer then.
func TestUDPTaskPool(t *testing.T) {
	pool := gxsync.NewTaskPoolSimple(4)
	t.Cleanup(pool.Close)
	r := record()
	all := codec{read: func(_ getty.Session, data []byte) (interface{}, int, error) { return data, len(data), nil }}
	_, addr := udpServe(t, with(r, func(s getty.Session) { s.SetReader(all) }), getty.WithServerTaskPool(pool))
	nc, err := net.Dial("udp", addr)
	must(t, err)
	defer nc.Close()
	want := map[string]bool{"aaaa": true, "bbbb": true, "cccc": true}
	var got [][]byte
	for text := range want {
		_, err := nc.Write([]byte(text))
		must(t, err)
		got = append(got, receive(t, r.messages, "message").(getty.UDPContext).Pkg.([]byte))
	}
	for _, m := range got {
		delete(want, string(m))
	}
	if len(want) > 0 {
		t.Errorf("%v are missing from %q", want, got)
	}
}
