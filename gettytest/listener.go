// SPDX-License-Identifier: Apache-2.0

package gettytest

import (
	"net"
	"os"
	"syscall"
)

// listener is a net.Listener of a Network. It is guarded by the network's mu.
// Its backlog has no limit.
type listener struct {
	n      *Network
	addr   Addr
	queue  []*Conn // dialed, not accepted yet
	closed bool
}

// Listen listens on an address, which is any string; getty's URLs want it to be
// host:port. "" is a fresh "mem:1", "mem:2" and so on; port 0 has no special
// meaning. An address that is in use is an error that wraps EADDRINUSE. Its
// conns are *Conn.
func (n *Network) Listen(address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	addr := Addr(address)
	for address == "" {
		n.names++
		addr = serverAddr(n.names)
		if n.listeners[addr] == nil {
			break
		}
	}
	if n.listeners[addr] != nil {
		err := os.NewSyscallError("bind", syscall.EADDRINUSE)
		return nil, &net.OpError{Op: "listen", Net: addr.Network(), Addr: addr, Err: err}
	}
	l := &listener{n: n, addr: addr}
	n.listeners[addr] = l
	return l, nil
}

// Addr returns the Addr to dial.
func (l *listener) Addr() net.Addr { return l.addr }

// Accept waits for a conn. It fails with net.ErrClosed after Close.
func (l *listener) Accept() (net.Conn, error) {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	for {
		if l.closed {
			return nil, l.opError("accept")
		}
		if len(l.queue) > 0 {
			c := l.queue[0]
			l.queue = l.queue[1:]
			return c, nil
		}
		l.n.cond.Wait()
	}
}

// Close frees the address and resets what was not accepted. Accepted conns stay.
func (l *listener) Close() error {
	l.n.mu.Lock()
	if l.closed {
		l.n.mu.Unlock()
		return l.opError("close")
	}
	l.closed = true
	delete(l.n.listeners, l.addr)
	queue := l.queue
	l.queue = nil
	l.n.cond.Broadcast()
	l.n.mu.Unlock()
	for _, c := range queue { // without mu, which their end needs
		c.Reset()
		_ = c.Close()
	}
	return nil
}

func (l *listener) opError(op string) error {
	return &net.OpError{Op: op, Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed}
}
