// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"
)

// packets is a relay of UDP packets.
type packets struct {
	trips
	*faucet
	t     testing.TB
	front *net.UDPConn
	back  net.Addr
	wg    sync.WaitGroup
	pmu   sync.Mutex
	rears map[netip.AddrPort]net.Conn
	fails map[string]int // how many packets of a side the kernel refuses
}

func newPackets(t testing.TB, c cell) *packets {
	return &packets{
		t: t, faucet: newFaucet(seedOf(t, c)),
		rears: make(map[netip.AddrPort]net.Conn), fails: make(map[string]int),
	}
}

func (r *packets) connect(b *bed) (string, dialFunc) {
	var dial dialFunc
	if b.fault == noBuffers {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
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
		b.must(b.srv.Listen("udp://127.0.0.1:0"))
		r.back = b.srv.Addrs()[0]
	}
	r.listen(b)
	return "udp://" + r.front.LocalAddr().String(), dial
}

func (r *packets) listen(b *bed) {
	var err error
	r.front, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
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

func (r *packets) refuses(side string) bool {
	r.pmu.Lock()
	defer r.pmu.Unlock()
	if r.fails[side] == 0 {
		return false
	}
	r.fails[side]--
	return true
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

// handOn passes a packet on, drops it, or lets later ones overtake it.
func (r *packets) handOn(side string, p []byte, on func([]byte)) {
	r.mu.Lock()
	held, slow := r.held[side], r.slow[side]
	dice := r.rng.IntN(10)
	r.mu.Unlock()
	switch {
	case held, slow == reorder && dice < 2:
	case slow == latency, slow == reorder && dice < 6:
		p = append([]byte(nil), p...)
		r.wg.Go(func() {
			<-time.After(time.Duration(r.upTo(int64(25 * time.Millisecond))))
			on(p)
		})
	default:
		on(p)
	}
}

func (r *packets) do(fault, side string) {
	switch fault {
	case silent:
		r.hold("server", "client")
	case oneWay:
		r.hold(side)
	case latency, reorder:
		r.mu.Lock()
		r.slow[side] = fault
		r.mu.Unlock()
	case noBuffers:
		r.pmu.Lock()
		r.fails[side] = 2
		r.pmu.Unlock()
	}
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
