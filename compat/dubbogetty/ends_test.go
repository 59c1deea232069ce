// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	gxsync "github.com/dubbogo/gost/sync"

	"github.com/apache/dubbo-getty"
)

// witness looks at a session in OnError and OnClose: all of it can be read, and is
// what it was in OnOpen.
type witness struct {
	*recorder
	before atomic.Pointer[string]
	seen   atomic.Int32
}

func watch(t *testing.T) *witness {
	w := &witness{recorder: record()}
	text := func(s getty.Session) string {
		return fmt.Sprint(s.ID(), s.LocalAddr(), "<->", s.RemoteAddr(), s.GetAttribute("key"), s.Conn() != nil, s.EndPoint() != nil, s.Stat() != "")
	}
	w.onOpen = func(s getty.Session) error {
		s.SetAttribute("key", "value")
		s.SetAttribute("ignore-reconnect", true)
		now := text(s)
		w.before.Store(&now)
		return nil
	}
	look := func(s getty.Session) {
		if now := text(s); now != *w.before.Load() {
			t.Errorf("the session was %s and is %s", *w.before.Load(), now)
		}
		if !s.IsClosed() {
			t.Error("it is not closed")
		}
		w.seen.Add(1)
	}
	w.onError = func(s getty.Session, _ error) { look(s) }
	w.onClose = look
	w.onMessage = func(getty.Session, interface{}) { panic(errTest) }
	return w
}

// wantEnd waits for a session that a panic has ended.
func (w *witness) wantEnd(t *testing.T) {
	t.Helper()
	if err := receive(t, w.errs, "OnError"); !errors.Is(err, errTest) {
		t.Errorf("the error is %v", err)
	}
	s := receive(t, w.closed, "OnClose")
	if w.seen.Load() != 2 {
		t.Errorf("%d callbacks have looked", w.seen.Load())
	}
	eventually(t, "zero values", func() bool { return s.ID() == 0 })
	wantZero(t, s)
}

// TestEverythingIsThereInTheEnd, for servers, clients and packets.
func TestEverythingIsThereInTheEnd(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		server, peer := watch(t), record()
		_, from := pair(t, tr, server.recorder, peer)
		from.SetAttribute("ignore-reconnect", true)
		_, _, err := from.WritePkg("x", 0)
		must(t, err)
		server.wantEnd(t)

		client, other := watch(t), record()
		at, _ := pair(t, tr, other, client.recorder)
		_, _, err = at.WritePkg("x", 0)
		must(t, err)
		client.wantEnd(t)
	})
	t.Run("udp", func(t *testing.T) {
		server, peer := watch(t), record()
		_, addr := udpServe(t, with(server.recorder))
		udpConnect(t, addr, 1, with(peer))
		_, err := receive(t, peer.opened, "session").Send(getty.UDPContext{Pkg: []byte("x\n")})
		must(t, err)
		server.wantEnd(t)

		client := watch(t)
		_, addr = udpServe(t, with(echo()))
		udpConnect(t, addr, 1, with(client.recorder))
		_, err = receive(t, client.opened, "session").Send(getty.UDPContext{Pkg: []byte("x\n")})
		must(t, err)
		client.wantEnd(t)
	})
}

// TestTaskPoolOfClients: neither there do packages alias a buffer, with or without
// compression.
func TestTaskPoolOfClients(t *testing.T) {
	pool := gxsync.NewTaskPoolSimple(4)
	t.Cleanup(pool.Close)
	const count = 200
	text := func(i int) string { return fmt.Sprintf("%0*d", 1+i, i) }
	line := func(i int) string { return text(i) + "\n" }
	for _, zip := range []bool{false, true} {
		t.Run(fmt.Sprint("zip ", zip), func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				compress := func(s getty.Session) {
					if zip {
						s.SetCompressType(getty.CompressZip)
					}
				}
				server, r := record(), record()
				_, addr := serve(t, tr, with(server, compress))
				connect(t, tr, addr, 1, with(r, compress, func(s getty.Session) { s.SetReader(alias) }), getty.WithClientTaskPool(pool))
				s := receive(t, server.opened, "session")
				var got [][]byte
				for i := range count {
					_, _, err := s.WritePkg(text(i), 0)
					must(t, err)
				}
				for range count {
					got = append(got, receive(t, r.messages, "message").([]byte))
				}
				wantLines(t, got, count, line)
			})
		})
	}
	t.Run("udp", func(t *testing.T) {
		server, r := record(), record()
		_, addr := udpServe(t, with(server))
		c := getty.NewUDPClient(getty.WithServerAddress(addr), getty.WithConnectionNumber(1), getty.WithClientTaskPool(pool))
		t.Cleanup(c.Close)
		c.RunEventLoop(with(r, func(s getty.Session) { s.SetReader(alias) }))
		_, err := receive(t, r.opened, "session").Send(getty.UDPContext{Pkg: []byte("hello\n")})
		must(t, err)
		peer := receive(t, server.messages, "message").(getty.UDPContext).PeerAddr
		at := receive(t, server.opened, "session of the endpoint")
		var got [][]byte
		for i := range count {
			_, _, err := at.WritePkg(getty.UDPContext{Pkg: text(i), PeerAddr: peer}, 0)
			must(t, err)
			got = append(got, receive(t, r.messages, "message").(getty.UDPContext).Pkg.([]byte))
		}
		wantLines(t, got, count, line)
	})
}
