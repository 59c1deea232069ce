// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// udpPeer is the conn of a server's session: one peer of a socket that others
// share. The socket's reader puts packets into its queue, the session's takes
// them all at once. It is also the session's NetConn.
type udpPeer struct {
	packetFraming
	sock *udpSocket
	key  udpKey

	mu     sync.Mutex
	some   sync.Cond // packets, or the end
	q      window    // records that the session has not taken
	ending error     // why no more come
	quit   chan struct{}
}

func newUDPPeer(u *udpSocket, key udpKey, pk packet) *udpPeer {
	p := &udpPeer{sock: u, key: key, quit: make(chan struct{})}
	p.io, p.slow = u.io, u.slow
	p.to = udpDest{peer: pk.from, other: pk.other, local: pk.local}
	p.io.prepare(&p.to)
	p.some.L = &p.mu
	return p
}

// push queues a packet, or drops it: a session that is slow must not hold up
// the socket's reader, nor the memory of what it does not take.
func (p *udpPeer) push(data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	had := p.q.len()
	switch {
	case p.ending != nil:
		return
	case had > 0 && had+recordHeader+len(data) > p.sock.ep.cfg.UDP.QueueSize:
		p.count.dropped.Add(1)
		return
	}
	p.q.addRecord(data)
	if had == 0 {
		p.some.Signal()
	}
}

func (p *udpPeer) read(in *window) error {
	in.release() // what is left is of a session that delivers no more
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.q.len() == 0 {
		if p.ending != nil {
			return p.ending
		}
		p.some.Wait()
	}
	*in, p.q = p.q, window{}
	return nil
}

func (p *udpPeer) write(b []byte) (int, error) {
	if p.closed() {
		return 0, net.ErrClosed
	}
	return p.waitWrite(b, func() bool {
		t := time.NewTimer(udpRetry)
		defer t.Stop()
		select {
		case <-t.C:
			return true
		case <-p.quit:
			return false
		}
	})
}

func (p *udpPeer) tryWrite(b []byte) (int, error) {
	if p.closed() {
		return 0, net.ErrClosed
	}
	return p.packetFraming.tryWrite(b)
}

func (p *udpPeer) closed() bool {
	select {
	case <-p.quit:
		return true
	default:
		return false
	}
}

// closeWrite ends the session: there is no peer to wait for.
func (p *udpPeer) closeWrite() error {
	p.endWith(io.EOF)
	return nil
}

func (p *udpPeer) endWith(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending == nil {
		p.ending = err
	}
	p.some.Signal()
}

func (p *udpPeer) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed() {
		return nil
	}
	close(p.quit)
	if p.ending == nil {
		p.ending = net.ErrClosed
	}
	p.q.release()
	p.some.Signal()
	p.sock.remove(p)
	return nil
}

func (p *udpPeer) netConn() net.Conn { return p }

// The rest is what a user sees of the conn.

var errNotYours = errors.New("getty: the conn of a session on a shared socket does not read or write")

// Read fails: packets go to OnMessage.
func (p *udpPeer) Read([]byte) (int, error) { return 0, p.opError("read") }

// Write fails: Send sends.
func (p *udpPeer) Write([]byte) (int, error) { return 0, p.opError("write") }

// Close ends the session with an error.
func (p *udpPeer) Close() error { return p.close() }

// LocalAddr is the address that the peer has sent to, and gets its answers from.
// Where the system does not tell, it is the socket's.
func (p *udpPeer) LocalAddr() net.Addr {
	addr := p.sock.Addr()
	ua, ok := addr.(*net.UDPAddr)
	if !ok || !p.key.local.IsValid() {
		return addr
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.key.local, ua.AddrPort().Port()))
}

// RemoteAddr is the address of the peer.
func (p *udpPeer) RemoteAddr() net.Addr { return senderAddr(p.key.peer, p.to.other) }

// SetDeadline fails, as the others do: the socket is not this session's alone.
func (p *udpPeer) SetDeadline(time.Time) error { return p.opError("set") }

// SetReadDeadline fails.
func (p *udpPeer) SetReadDeadline(time.Time) error { return p.opError("set") }

// SetWriteDeadline fails.
func (p *udpPeer) SetWriteDeadline(time.Time) error { return p.opError("set") }

func (p *udpPeer) opError(op string) error {
	err := errNotYours
	if p.closed() {
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: udpNetwork, Source: p.LocalAddr(), Addr: p.RemoteAddr(), Err: err}
}

var (
	_ packetConn = (*udpPeer)(nil)
	_ packetConn = (*udpClient)(nil)
)
