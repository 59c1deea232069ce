// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"net"
	"net/netip"
	"time"
)

// PrefacedConn is a conn in front of whose stream stands something that is not
// the session's, such as the header of the PROXY protocol. A listener that is
// given to Serve may yield it. Package proxyproto, a module of its own, has one.
type PrefacedConn interface {
	net.Conn

	// Preface reads what stands in front. It is called once, before TLS and any
	// other handshake, on a goroutine of its own, and must return when the conn is
	// closed, as happens after HandshakeTimeout and at the end of the server. An
	// error ends the connection. It takes one of MaxSessions meanwhile and is
	// counted in Stats.Opening.
	Preface() (Preface, error)
}

// Preface is what stood in front of a stream.
type Preface struct {
	// Conn is what the session is to use, such as the *net.TCPConn below. nil: the
	// PrefacedConn itself.
	Conn net.Conn
	// Ahead are bytes of the stream that were read with the preface. They are
	// copied.
	Ahead []byte
	// Local and Remote are the addresses of the session, for Guard and limits by
	// address, too, if Remote is an IP address. nil: those of Conn.
	Local, Remote net.Addr
}

// origin is where a session comes from, as far as its conn does not tell.
type origin struct {
	counted       netip.Addr // what the session is counted by; invalid if it is not
	local, remote net.Addr   // from a Preface; nil: the conn's
}

// localAddr and remoteAddr are the addresses of a session.
func (c *core) localAddr() net.Addr {
	if c.origin != nil && c.origin.local != nil {
		return c.origin.local
	}
	return localOf(c.netConn())
}

func (c *core) remoteAddr() net.Addr {
	if c.origin != nil && c.origin.remote != nil {
		return c.origin.remote
	}
	return remoteOf(c.netConn())
}

// needOrigin returns the session's origin, made when first needed.
func (c *core) needOrigin() *origin {
	if c.origin == nil {
		c.origin = new(origin)
	}
	return c.origin
}

// prefacing is a connection whose preface is being read.
type prefacing struct {
	nc    net.Conn
	ended bool // by Shutdown or Close
}

// accept gives a session the conn that was accepted, behind its preface.
func (c *core) accept(nc net.Conn) (err error) {
	c.conn = newStreamConn(nc)
	p, ok := nc.(PrefacedConn)
	if !ok {
		return nil
	}
	if err := c.ep.prefaceBegins(c, nc); err != nil {
		return err
	}
	timeout := time.AfterFunc(c.ep.cfg.HandshakeTimeout, func() { _ = shut(nc) })
	err = ErrGoexit // unless Preface returns
	defer func() {
		if !timeout.Stop() {
			err = ErrHandshakeTimeout
		}
		err = c.ep.prefaceEnds(c, err)
	}()
	pre, err := readPreface(p)
	if err != nil {
		return err
	}
	if pre.Conn != nil {
		c.conn = newStreamConn(pre.Conn)
	}
	if pre.Local != nil || pre.Remote != nil {
		o := c.needOrigin()
		o.local, o.remote = pre.Local, pre.Remote
	}
	c.in.add(pre.Ahead)
	return nil
}

func readPreface(p PrefacedConn) (pre Preface, err error) {
	defer foreign(&err)
	return p.Preface()
}

// prefaceBegins takes a place among the sessions for a connection.
func (ep *endpoint) prefaceBegins(c *core, nc net.Conn) error {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.closing {
		return ErrShutdown
	}
	if err := ep.admitted.full(ep.places()); err != nil {
		ep.totals.Rejected++
		return err
	}
	ep.prefacing[c] = &prefacing{nc: nc}
	return nil
}

// prefaceEnds keeps the place until the session enters, unless it has failed.
func (ep *endpoint) prefaceEnds(c *core, err error) error {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.prefacing[c].ended {
		err = ErrShutdown
	}
	if err == nil {
		return nil
	}
	delete(ep.prefacing, c)
	ep.totals.Failed++
	return fmt.Errorf("%w: %w", errPreface, err)
}

// endPrefaces closes the connections whose preface has not come.
func (ep *endpoint) endPrefaces() {
	ep.mu.Lock()
	var conns []net.Conn
	for _, p := range ep.prefacing {
		p.ended = true
		conns = append(conns, p.nc)
	}
	ep.mu.Unlock()
	for _, nc := range conns {
		_ = shut(nc)
	}
}

// places is how many of MaxSessions are taken. It is called with mu held.
func (ep *endpoint) places() int { return len(ep.sessions) + len(ep.prefacing) }
