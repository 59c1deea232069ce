// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// air is a road of packets in memory, for virtual time.
type air struct {
	mail
	t     testing.TB
	amu   sync.Mutex
	ports []*port // the server's first
}

func newAir(t testing.TB, c cell) *air { return &air{t: t, mail: newMail(seedOf(t, c))} }

// port is a socket: the server's is a net.PacketConn, a client's a net.Conn.
type port struct {
	air  *air
	side string
	addr *net.UDPAddr
	in   chan parcel
	gone chan struct{}
	end  func()
}

type parcel struct {
	from *port
	data []byte
}

func (a *air) connect(b *bed) (string, dialFunc) {
	server := a.open("server")
	go func() { _ = b.srv.ServePacket(server) }()
	return urlTo(b.cell, server.addr.String()), func(context.Context, string, string) (net.Conn, error) {
		p := a.open("client")
		a.conn("client")
		a.conn("server")
		return p, nil
	}
}

func (a *air) open(side string) *port {
	a.amu.Lock()
	defer a.amu.Unlock()
	p := &port{
		air: a, side: side, addr: addrOf(len(a.ports)),
		in: make(chan parcel, 1<<10), gone: make(chan struct{}),
	}
	p.end = sync.OnceFunc(func() { close(p.gone) })
	a.ports = append(a.ports, p)
	return p
}

// addrOf is the address of port number i.
func addrOf(i int) *net.UDPAddr { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: i + 1} }

func (a *air) at(addr net.Addr) *port {
	a.amu.Lock()
	defer a.amu.Unlock()
	return a.ports[addr.(*net.UDPAddr).Port-1]
}

func (a *air) close() {
	synctest.Wait()
	a.wg.Wait()
	if slices.ContainsFunc(a.ports, func(p *port) bool { return !p.closed() }) {
		a.t.Error("a socket is left")
	}
}

func (p *port) closed() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// WriteTo drops what finds no room at the receiver.
func (p *port) WriteTo(b []byte, to net.Addr) (int, error) {
	if p.closed() {
		return 0, net.ErrClosed
	}
	if p.air.refuses(p.side) {
		return 0, &net.OpError{Op: "write", Net: udp, Err: syscall.ENOBUFS}
	}
	dst := p.air.at(to)
	p.air.handOn(p.side, slices.Clone(b), func(b []byte) {
		select {
		case dst.in <- parcel{p, b}:
		default:
			p.air.count(p.side, b, -1)
		}
	})
	return len(b), nil
}

func (p *port) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case <-p.gone:
		return 0, nil, net.ErrClosed
	case m := <-p.in:
		return copy(b, m.data), m.from.addr, nil
	}
}

func (p *port) Read(b []byte) (int, error) {
	n, _, err := p.ReadFrom(b)
	return n, err
}

func (p *port) Write(b []byte) (int, error) { return p.WriteTo(b, p.RemoteAddr()) }

func (p *port) Close() error {
	p.end()
	return nil
}

func (p *port) LocalAddr() net.Addr            { return p.addr }
func (*port) RemoteAddr() net.Addr             { return addrOf(0) }
func (*port) SetDeadline(time.Time) error      { return nil }
func (*port) SetReadDeadline(time.Time) error  { return nil }
func (*port) SetWriteDeadline(time.Time) error { return nil }
