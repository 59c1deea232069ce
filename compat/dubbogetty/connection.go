// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"net"
	"time"
)

// Connection is the half of a Session that is about its socket. After OnClose
// has returned it has nothing left: its values are zero and its setters do
// nothing.
type Connection interface {
	// ID is unique in the process.
	ID() uint32
	// SetCompressType chooses the compression. It belongs into the
	// NewSessionCallback: later a stream goes on as it has begun, and
	// nothing changes. It panics on a type that is none, and
	// for CompressSnappy on WebSocket.
	SetCompressType(CompressType)
	// LocalAddr is the address of this side.
	LocalAddr() string
	// RemoteAddr is the address of the peer, empty for a UDP endpoint.
	RemoteAddr() string
	// IncReadPkgNum adds one to the packages that Stat says were read.
	IncReadPkgNum()
	// IncWritePkgNum adds one to the packages that Stat says were written.
	IncWritePkgNum()
	// UpdateActive makes now the time that GetActive returns.
	UpdateActive()
	// GetActive is when bytes were last received.
	GetActive() time.Time
	// ReadTimeout is what SetReadTimeout was given, a second by default.
	ReadTimeout() time.Duration
	// SetReadTimeout bounds how long a session that is closed waits for its
	// peer to close as well. What it is when Close is called counts, but not
	// more than NewSessionCallback has left. Silence of the peer never ends a
	// session. It panics on less than 1 ns.
	SetReadTimeout(time.Duration)
	// WriteTimeout is what SetWriteTimeout was given, a second by default.
	WriteTimeout() time.Duration
	// SetWriteTimeout bounds how long a write waits for room. It panics on less
	// than 1 ns.
	SetWriteTimeout(time.Duration)
	// Send sends bytes that are encoded already: a []byte, over TCP also a
	// [][]byte, over UDP a UDPContext with a []byte. It returns their number.
	Send(interface{}) (int, error)
	// CloseConn closes the socket at once, without what has not been sent yet.
	CloseConn(int)
	// SetSession does nothing: a connection has its session for good.
	SetSession(Session)
}

// UDPContext is a package of UDP and the peer that it comes from or goes to.
type UDPContext struct {
	Pkg      interface{}
	PeerAddr *net.UDPAddr
}

// String has the package and the peer.
func (c UDPContext) String() string {
	return fmt.Sprintf("{pkg:%#v, peer addr:%s}", c.Pkg, c.PeerAddr)
}
