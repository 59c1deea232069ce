// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// packets is a relay of UDP packets.
type packets struct {
	mail
	t     testing.TB
	ip    net.IP // of the server and of the relay, and of no other cell's
	front *net.UDPConn
	back  net.Addr
	pmu   sync.Mutex
	rears map[netip.AddrPort]net.Conn
}

var relays atomic.Uint32

// newPackets gives each relay an address of its own: what it sends to a client
// that has gone must not arrive at another cell's server, which got the port.
func newPackets(t testing.TB, c cell) *packets {
	n := relays.Add(1)
	return &packets{
		t: t, ip: net.IPv4(127, 1, byte(n>>8), byte(n)), mail: newMail(seedOf(t, c)), rears: make(map[netip.AddrPort]net.Conn),
	}
}

func (r *packets) connect(b *bed) (string, dialFunc) {
	var dial dialFunc
	if b.fault == noBuffers {
		pc, err := net.ListenPacket("udp", r.any())
		b.must(err)
		r.back = pc.LocalAddr()
		go func() { _ = b.srv.ServePacket(refusing{pc, r}) }()
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return refusingConn{nc, r}, nil
		}
	} else {
		b.must(b.srv.Listen("udp://" + r.any()))
		r.back = b.srv.Addrs()[0]
	}
	r.listen(b)
	return "udp://" + r.front.LocalAddr().String(), dial
}

// any is a free port.
func (r *packets) any() string { return r.ip.String() + ":0" }

func (r *packets) listen(b *bed) {
	var err error
	r.front, err = net.ListenUDP("udp", &net.UDPAddr{IP: r.ip})
	b.must(err)
	r.wg.Go(r.fromClients)
}

// refusing and refusingConn are sockets whose device has no room now and then.
type refusing struct {
	net.PacketConn
	r *packets
}

func (pc refusing) WriteTo(p []byte, to net.Addr) (int, error) {
	if pc.r.refuses("server") {
		return 0, &net.OpError{Op: "write", Net: "udp", Err: syscall.ENOBUFS}
	}
	return pc.PacketConn.WriteTo(p, to)
}

type refusingConn struct {
	net.Conn
	r *packets
}

func (c refusingConn) Write(p []byte) (int, error) {
	if c.r.refuses("client") {
		return 0, &net.OpError{Op: "write", Net: "udp", Err: syscall.ENOBUFS}
	}
	return c.Conn.Write(p)
}

func (r *packets) fromClients() {
	b := make([]byte, 64<<10)
	for {
		n, from, err := r.front.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		rear := r.rear(from)
		if rear == nil {
			continue
		}
		r.handOn("client", b[:n], func(p []byte) { _, _ = rear.Write(p) })
	}
}

// rear is the socket for one client.
func (r *packets) rear(from netip.AddrPort) net.Conn {
	r.pmu.Lock()
	rear := r.rears[from]
	r.pmu.Unlock()
	if rear != nil {
		return rear
	}
	r.conn("client")
	r.conn("server")
	rear, err := net.Dial("udp", r.back.String())
	if err != nil {
		return nil
	}
	r.pmu.Lock()
	r.rears[from] = rear
	r.pmu.Unlock()
	r.wg.Go(func() {
		b := make([]byte, 64<<10)
		for {
			n, err := rear.Read(b)
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				continue // the server was unreachable
			}
			r.handOn("server", b[:n], func(p []byte) { _, _ = r.front.WriteToUDPAddrPort(p, from) })
		}
	})
	return rear
}

func (r *packets) close() {
	_ = r.front.Close()
	r.pmu.Lock()
	for _, c := range r.rears {
		_ = c.Close()
	}
	r.pmu.Unlock()
	r.wg.Wait()
}
