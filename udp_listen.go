// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// udpKey is what makes packets belong to one session: who sent them, and to
// which of our addresses.
type udpKey struct {
	peer  netip.AddrPort
	local netip.Addr
	other string // the sender, if not of an IP network
}

// udpSocket is a socket that many peers send to. It stands in for a
// net.Listener: Close lets no new peer in. The socket itself stays open for the
// sessions that are left, and is closed with the last of them.
type udpSocket struct {
	ep   *endpoint
	pc   net.PacketConn
	io   packetIO
	slow bool // see packetFraming
	kind string
	// admit makes a session of a new peer and its first packet.
	admit func(p *udpPeer, first []byte)

	mu       sync.Mutex
	peers    map[udpKey]*udpPeer
	stopping bool
	closed   bool
}

// listenPacket opens the socket of a target. One that is a multicast group is
// joined, on the given interface or on the one that the system chooses.
func (ep *endpoint) listenPacket(t target) (net.PacketConn, error) {
	ap, err := netip.ParseAddrPort(t.address)
	if err != nil || !ap.Addr().IsMulticast() {
		if t.iface != "" {
			return nil, fmt.Errorf("an interface belongs to a multicast group, not to %s", t.address)
		}
		lc := net.ListenConfig{Control: ep.cfg.Control}
		return lc.ListenPacket(context.Background(), t.network, t.address)
	}
	iface := t.iface
	if zone := ap.Addr().Zone(); zone != "" {
		if iface != "" && iface != zone {
			return nil, fmt.Errorf("the zone %s of the group is not the interface %s", zone, iface)
		}
		iface = zone
	}
	var ifi *net.Interface
	if iface != "" {
		if ifi, err = interfaceOf(iface); err != nil {
			return nil, err
		}
	}
	pc, err := net.ListenMulticastUDP(t.network, ifi, net.UDPAddrFromAddrPort(ap))
	if err != nil || ep.cfg.Control == nil {
		return pc, err
	}
	// Package net has no hook in between, so it is called behind the bind.
	rc, err := pc.SyscallConn()
	if err == nil {
		err = ep.cfg.Control(t.network, t.address, rc)
	}
	if err != nil {
		_ = pc.Close()
		return nil, err
	}
	return pc, nil
}

// interfaceOf finds an interface by its name or, as zones may have it, its index.
func interfaceOf(name string) (*net.Interface, error) {
	if index, err := strconv.Atoi(name); err == nil {
		return net.InterfaceByIndex(index)
	}
	return net.InterfaceByName(name)
}

func newUDPSocket(ep *endpoint, pc net.PacketConn) *udpSocket {
	u := &udpSocket{ep: ep, pc: pc, peers: make(map[udpKey]*udpPeer)}
	u.io, u.slow = newServerIO(ep, pc)
	return u
}

// serve reads the socket until it is closed, or of no use. It only sorts
// packets: nothing here waits for a session.
func (u *udpSocket) serve() error {
	var backoff time.Duration
	got, park := u.onPacket, func() {}
	for {
		err := u.io.receive(park, got)
		switch {
		case err == nil:
			backoff = 0
			continue
		case u.isClosed():
			return ErrServerClosed
		case hardError(err):
			u.fail(err)
			return err
		}
		u.ep.udp.count.softErrors.Add(1)
		u.ep.log.Warn("getty: receiving failed", "addr", u.Addr(), "error", err)
		if !unreachable(err) {
			backoff = min(max(2*backoff, minAcceptBackoff), maxAcceptBackoff)
			u.ep.sleep(backoff)
		}
	}
}

// onPacket hands a packet to the session of its sender, or opens one.
func (u *udpSocket) onPacket(pk packet) {
	key := udpKey{peer: pk.from, local: pk.local}
	if pk.other != nil && !pk.from.IsValid() {
		key.other = textOf(pk.other)
	}
	u.mu.Lock()
	p, stopping := u.peers[key], u.stopping
	u.mu.Unlock()
	switch {
	case p != nil && pk.truncated:
		p.count.truncated.Add(1)
	case p != nil:
		p.push(pk.data)
	case pk.truncated:
		u.ep.udp.count.truncated.Add(1)
	case stopping:
	default:
		u.open(key, pk)
	}
}

// open makes a session, if there is room for one more: a flood of made-up
// senders must neither take more memory than that, nor the place of others.
func (u *udpSocket) open(key udpKey, pk packet) {
	if u.refuses(pk) {
		return
	}
	p := newUDPPeer(u, key, pk)
	u.mu.Lock()
	if u.stopping {
		u.mu.Unlock()
		u.ep.udp.leave()
		return
	}
	u.peers[key] = p
	u.mu.Unlock()
	u.admit(p, pk.data)
}

// refuses reports whether a packet may not open a session, before anything is
// made of it. If it may, it has taken a place.
func (u *udpSocket) refuses(pk packet) bool {
	from := pk.from.Addr().WithZone("")
	if from.IsValid() && !u.ep.cfg.Guard.Access.Allows(from) {
		u.ep.udp.denied.Add(1)
		u.tellRefused(pk, ErrDenied)
		return true
	}
	if !u.ep.udp.take() {
		u.ep.udp.count.refused.Add(1)
		return true
	}
	if err := u.ep.refuses(from); err != nil {
		u.ep.udp.leave()
		u.tellRefused(pk, err)
		return true
	}
	return false
}

// tellRefused makes nothing for nobody: there may be a flood of them.
func (u *udpSocket) tellRefused(pk packet, err error) {
	if u.ep.cfg.Observer != nil || u.ep.log.Enabled(context.Background(), slog.LevelDebug) {
		u.ep.tellFailed(u.kind, senderAddr(pk.from, pk.other), err)
	}
}

// remove forgets a peer whose session is closed: its next packet opens another,
// if there is a place. That of this one is free behind its OnClose.
func (u *udpSocket) remove(p *udpPeer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.peers, p.key)
	u.closeUnused()
}

// closeUnused is called with mu held.
func (u *udpSocket) closeUnused() {
	if u.stopping && !u.closed && len(u.peers) == 0 {
		u.closed = true
		_ = u.io.close()
	}
}

// fail ends every session with the error of the socket.
func (u *udpSocket) fail(err error) {
	u.mu.Lock()
	u.stopping = true
	peers := make([]*udpPeer, 0, len(u.peers))
	for _, p := range u.peers {
		peers = append(peers, p)
	}
	u.mu.Unlock()
	for _, p := range peers {
		p.endWith(err)
	}
}

func (u *udpSocket) isClosed() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}

// Accept is never called: sessions are made by serve.
func (u *udpSocket) Accept() (net.Conn, error) { return nil, net.ErrClosed }

// Close lets no new peer in.
func (u *udpSocket) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopping = true
	u.closeUnused()
	return nil
}

// Addr is the socket's address.
func (u *udpSocket) Addr() net.Addr { return u.pc.LocalAddr() }

// servePackets runs a packet socket for the server.
func (s *Server[M]) servePackets(u *udpSocket, kind string) error {
	u.kind = kind
	u.admit = func(p *udpPeer, first []byte) {
		ss := s.session(kind, p)
		ss.lim, ss.opens = s.ep.udp.lim, true
		ss.in.addRecord(first)
		if err := s.ep.enter(&ss.core); err != nil {
			_ = p.close()
			s.ep.udp.leave()
			ss.in.release()
			s.ep.failed(kind, p.RemoteAddr(), err)
			return
		}
		s.ep.g.spawn(func() { _ = ss.start(nil, false) })
	}
	return u.serve()
}

// opensWith reports why the packet that a session is to be opened with holds no
// message for it: junk opens nothing. It is decoded again after OnOpen.
func (s *Session[M]) opensWith() error {
	unit, _ := record(s.in.bytes())
	if len(unit) == 0 {
		ed, ok := s.codec.(EmptyDecoder[M])
		if !ok {
			return ErrIncomplete
		}
		_, err := ed.DecodeEmpty()
		if errors.Is(err, errors.ErrUnsupported) {
			return ErrIncomplete
		}
		return err
	}
	rest := unit[:min(len(unit), s.lim.maxMessage)]
	_, n, err := s.codec.Decode(rest)
	switch {
	case err == nil && n > 0 && n <= len(rest):
		if n == s.lim.maxMessage && s.cutsShort(unit) {
			return ErrMessageTooLong
		}
		return nil
	case err == nil && n >= 0 && n <= s.lim.maxMessage && len(rest) == len(unit):
		return ErrIncomplete
	}
	return undecoded(n, len(rest), s.lim.maxMessage, err)
}
