// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"syscall"
)

// portableIO is the packetIO of whatever package net, or the user, has opened:
// a packet per call. It holds a buffer while it waits, does not learn to which
// of the host's addresses a packet was sent, and lets the system choose the
// one that answers leave from.
type portableIO struct {
	pc   net.PacketConn // shared by many peers; nil: connected
	nc   net.Conn
	uc   *net.UDPConn // pc or nc, if it is one
	buf  []byte       // one byte longer than packets may be; owned by the receiver
	most int
	addr netip.Addr // what the socket is bound to, if to one address
}

func newPortableServer(ep *endpoint, pc net.PacketConn) (packetIO, bool) {
	uc, _ := pc.(*net.UDPConn)
	return &portableIO{pc: pc, uc: uc, most: ep.cfg.UDP.MaxPacketSize, addr: boundTo(pc.LocalAddr())}, uc == nil
}

func newPortableClient(ep *endpoint, nc net.Conn) (packetIO, bool) {
	uc, _ := nc.(*net.UDPConn)
	return &portableIO{nc: nc, uc: uc, most: ep.cfg.UDP.MaxPacketSize}, uc == nil
}

// boundTo is the only address that a socket receives for, invalid if it is bound
// to all of them.
func boundTo(addr net.Addr) netip.Addr {
	ua, ok := addr.(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	a := ua.AddrPort().Addr().Unmap()
	if a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}
	}
	return a
}

func (o *portableIO) receive(_ func(), got func(packet)) error {
	if o.buf == nil {
		o.buf = make([]byte, o.most+1)
	}
	n, pk, err := o.read()
	if tooShort(err) {
		n, err = o.most+1, nil
	}
	if err != nil {
		return err
	}
	raceReceived()
	pk.data, pk.truncated = o.buf[:n], n > o.most
	got(pk)
	return nil
}

func (o *portableIO) read() (n int, pk packet, err error) {
	defer foreign(&err)
	pk.local = o.addr
	switch {
	case o.pc == nil:
		n, err = o.nc.Read(o.buf)
	case o.uc != nil:
		n, pk.from, err = o.uc.ReadFromUDPAddrPort(o.buf)
		pk.from = netip.AddrPortFrom(pk.from.Addr().Unmap(), pk.from.Port())
	default:
		var from net.Addr
		if n, from, err = o.pc.ReadFrom(o.buf); err == nil {
			pk.from, pk.other = senderOf(from)
		}
	}
	n, err = possible(n, len(o.buf), err)
	return n, pk, err
}

// senderOf is the sender as a value if it has one, or as it is.
func senderOf(addr net.Addr) (netip.AddrPort, net.Addr) {
	if ua, ok := addr.(*net.UDPAddr); ok {
		ap := ua.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), addr
	}
	return netip.AddrPort{}, addr
}

// tooShort reports whether the buffer was too short for a packet: what other
// systems show by its length is an error on Windows.
func tooShort(err error) bool {
	const wsaEMSGSIZE = syscall.Errno(10040)
	return err != nil && runtime.GOOS == "windows" && errors.Is(err, wsaEMSGSIZE)
}

func (o *portableIO) send(to *udpDest, p []byte) (packets, n int, err error) {
	unit, used := record(p)
	raceSent()
	if err = o.write(unit, to); err != nil {
		return 0, 0, err
	}
	return 1, used, nil
}

func (o *portableIO) write(unit []byte, to *udpDest) (err error) {
	defer foreign(&err)
	switch {
	case o.pc == nil:
		_, err = o.nc.Write(unit)
	case o.uc != nil:
		_, err = o.uc.WriteToUDPAddrPort(unit, to.peer)
	default:
		_, err = o.pc.WriteTo(unit, to.other)
	}
	return err
}

func (*portableIO) prepare(*udpDest) {}

func (o *portableIO) close() error {
	if o.pc == nil {
		return shut(o.nc)
	}
	return shut(o.pc)
}
