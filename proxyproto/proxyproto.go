// SPDX-License-Identifier: Apache-2.0

// Package proxyproto serves getty sessions behind load balancers that speak the
// PROXY protocol, version 1 or 2: sessions have the addresses of the client, not
// of the load balancer, for Guard, limits by address and Session.RemoteAddr.
//
//	l, err := net.Listen("tcp", ":9000")
//	...
//	err = server.Serve(proxyproto.NewListener(l, netip.MustParsePrefix("10.0.0.0/8")))
//
// ServeTLS, ServeWebSocket and ServeWebSocketTLS work in the same way. The header
// is read before anything else, on a goroutine of its own within
// Config.HandshakeTimeout; behind it the session uses the socket itself, so it
// costs nothing more.
//
// The format is that of https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
package proxyproto

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"

	"github.com/getty-net/getty"
)

// ErrNoHeader ends a connection from a trusted address that does not begin with
// a header.
var ErrNoHeader = errors.New("proxyproto: no PROXY header")

// listener yields conns with a preface.
type listener struct {
	net.Listener
	trusted []netip.Prefix
}

// NewListener wraps l for getty.Server.Serve and its like. A connection from an
// address that one of the prefixes holds must begin with a header. Any other
// conn is served as it is: a header there would be bytes of the session, so
// nobody else can claim an address. Without prefixes nobody is trusted. The slice
// is copied; IPv4 inside IPv6 is IPv4, as in a getty.AccessList. A header without
// an IP address, such as that of a unix socket, is no way past a Guard: it and
// limits by address go by the load balancer's then.
func NewListener(l net.Listener, trusted ...netip.Prefix) net.Listener {
	own := make([]netip.Prefix, 0, len(trusted))
	for _, p := range trusted {
		if addr, bits := p.Addr(), p.Bits(); addr.Is4In6() && bits >= 96 {
			p = netip.PrefixFrom(addr.Unmap(), bits-96)
		}
		own = append(own, p)
	}
	return &listener{Listener: l, trusted: own}
}

// Accept never waits for a header.
func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil || !l.trusts(nc.RemoteAddr()) {
		return nc, err
	}
	return &conn{nc}, nil
}

func (l *listener) trusts(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return false
	}
	addr := ap.Addr().Unmap().WithZone("")
	for _, p := range l.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// conn is a conn that begins with a header.
type conn struct{ net.Conn }

var _ getty.PrefacedConn = (*conn)(nil)

// awaitLine waits until the header has arrived, if it is of version 1: its parser
// takes what is there for all of it.
func awaitLine(r *bufio.Reader) {
	const name, longest = "PROXY", 107 // section 2.1 of the specification
	for n := 1; n <= longest; n = r.Buffered() + 1 {
		if _, err := r.Peek(n); err != nil {
			return
		}
		p, _ := r.Peek(r.Buffered())
		if !bytes.HasPrefix(p, []byte(name)[:min(len(p), len(name))]) || bytes.IndexByte(p, '\n') >= 0 {
			return
		}
	}
}

// Preface reads the header.
func (c *conn) Preface() (getty.Preface, error) {
	r := bufio.NewReaderSize(c.Conn, 512)
	awaitLine(r)
	h, err := proxyproto.Read(r)
	if errors.Is(err, proxyproto.ErrNoProxyProtocol) {
		return getty.Preface{}, ErrNoHeader
	}
	if err != nil {
		return getty.Preface{}, fmt.Errorf("proxyproto: %w", err)
	}
	ahead, _ := r.Peek(r.Buffered())
	p := getty.Preface{Conn: c.Conn, Ahead: ahead}
	if h.Command.IsProxy() && h.SourceAddr != nil {
		p.Remote, p.Local = h.SourceAddr, h.DestinationAddr
	}
	return p, nil
}
