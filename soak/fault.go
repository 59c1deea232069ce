// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"net"

	"github.com/getty-net/getty"
)

// faults are what happens to sessions. Those on the conn are done behind the
// session's back; on udp, where there is no conn to break, garbage is a packet.
var faults = []struct {
	name string
	do   func(l *load, s *getty.Session[[]byte])
}{
	{"reset", func(l *load, s *getty.Session[[]byte]) {
		nc := l.below(s)
		if tc, ok := nc.(*net.TCPConn); ok {
			_ = tc.SetLinger(0)
		}
		if nc != nil {
			_ = nc.Close()
		}
	}},
	{"half-close", func(l *load, s *getty.Session[[]byte]) {
		if hc, ok := l.below(s).(interface{ CloseWrite() error }); ok {
			_ = hc.CloseWrite()
		}
	}},
	{"garbage", func(l *load, s *getty.Session[[]byte]) {
		if nc := l.below(s); nc != nil {
			_, _ = nc.Write(garbage())
		}
	}},
	{"stalled reader", func(l *load, s *getty.Session[[]byte]) { l.send(s, stall) }},
	{"panic there", func(l *load, s *getty.Session[[]byte]) { l.send(s, panics) }},
	{"panic here", func(_ *load, s *getty.Session[[]byte]) { pageOf(s).panicNext.Store(true) }},
	{"error there", func(l *load, s *getty.Session[[]byte]) { l.send(s, closes) }},
	{"close", func(_ *load, s *getty.Session[[]byte]) { _ = s.Close() }},
}

// garbage begins with a byte that no transport can take for a beginning.
func garbage() []byte {
	b := make([]byte, 1+rand.N(300))
	for i := range b {
		b[i] = byte(rand.Uint32()) //nolint:gosec // any byte
	}
	b[0] = 0xff
	return b
}

// below is the conn that a session stands on, or nil if that is not known.
func (l *load) below(s *getty.Session[[]byte]) net.Conn {
	switch nc := s.NetConn().(type) {
	case *net.TCPConn, *net.UnixConn, *net.UDPConn:
		return nc
	}
	if nc, ok := l.conns.Load(s.LocalAddr().String()); ok {
		return nc.(net.Conn)
	}
	return nil
}

// forget drops the conns that no session stands on.
func (l *load) forget() {
	known := make(map[string]bool)
	for s := range l.client.Sessions() {
		known[s.LocalAddr().String()] = true
	}
	l.conns.Range(func(addr, _ any) bool {
		if !known[addr.(string)] {
			l.conns.Delete(addr)
		}
		return true
	})
}

// hurt lets n faults happen to sessions of l, and counts them.
func (l *load) hurt(n int, counts map[string]int) {
	if n == 0 {
		return
	}
	for s := range l.client.Sessions() {
		f := faults[rand.IntN(len(faults))]
		f.do(l, s)
		counts[f.name]++
		if n--; n == 0 {
			return
		}
	}
}
