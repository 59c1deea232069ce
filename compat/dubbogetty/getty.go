// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"net"

	gxsync "github.com/dubbogo/gost/sync"
)

// Errors of a session's writes.
var (
	// ErrSessionClosed is the error of every write on a closed session.
	ErrSessionClosed = errors.New("session Already Closed")
	// ErrSessionBlocked matches the error of a write for which the peer did not
	// make room in time. That error is a net.Error with Timeout() true.
	ErrSessionBlocked = errors.New("session Full Blocked")
	// ErrNullPeerAddr is the error of a packet to nobody.
	ErrNullPeerAddr = errors.New("peer address is nil")
)

// NewSessionCallback sets a new session up: listener, codec, limits, socket
// options, compression. It runs after the handshake of TLS and WebSocket and
// before OnOpen, one at a time for each endpoint except WebSocket servers. An
// error ends the session without any callback; a client then tries another one.
// A panic has the RunEventLoop of a client, or of a UDP endpoint, panic with it;
// if that has returned, and on servers, it is logged and the session ends likewise.
type NewSessionCallback func(Session) error

// Reader takes the first package out of the bytes that have arrived. It is
// called by one goroutine at a time for each session.
type Reader interface {
	// Read returns
	//
	//   (nil, 0, nil)    if the bytes hold no whole header yet,
	//   (nil, n, nil)    if a package of n bytes has begun and not ended,
	//   (pkg, n, nil)    for the package that the first n bytes are,
	//   (nil, 0, err)    for bytes that are none.
	//
	// Only a nil interface means that there is no package. An error ends a
	// session over TCP; over WebSocket and UDP it drops the message or packet,
	// which is what Read is given as a whole there. A package may alias the bytes
	// until OnMessage has returned; with a task pool and over WebSocket, for ever.
	Read(Session, []byte) (interface{}, int, error)
}

// Writer encodes packages. It may be called concurrently.
type Writer interface {
	// Write returns the bytes of a package. For UDP sessions it is given the
	// UDPContext.
	Write(Session, interface{}) ([]byte, error)
}

// ReadWriter is both halves of a codec.
type ReadWriter interface {
	Reader
	Writer
}

// EventListener is told about a session: OnOpen first, OnClose last and once,
// OnError before it if the session ended otherwise than by Close or the end of
// a TCP stream.
type EventListener interface {
	// OnOpen runs before anything is read. An error ends the session.
	OnOpen(Session) error

	// OnClose is the last callback. The session's attributes, ID and addresses
	// can be read until it has returned.
	OnClose(Session)

	// OnError is given why the session ends.
	OnError(Session, error)

	// OnCron runs every SetCronPeriod milliseconds, a minute by default, and never
	// concurrently with itself unless there is a task pool.
	OnCron(Session)

	// OnMessage is given each package: in the order of the wire, one at a time,
	// or on the task pool, if the endpoint has one, in any order. For UDP the
	// package is a UDPContext.
	OnMessage(Session, interface{})
}

// EndPoint is a server or a client.
type EndPoint interface {
	// ID counts servers, and clients, in the process.
	ID() EndPointID
	// EndPointType says which transport and which side it is.
	EndPointType() EndPointType
	// RunEventLoop starts the endpoint. A server's returns once it listens, and
	// panics if it cannot. A client's returns when all sessions of its pool are
	// open, at its limit of attempts, or when the client is closed; it panics
	// on a configuration that cannot work.
	RunEventLoop(newSession NewSessionCallback)
	// IsClosed reports whether Close was called.
	IsClosed() bool
	// Close ends the endpoint and all its sessions. It waits for their
	// callbacks, a second at most.
	Close()
	// GetTaskPool returns the task pool, or nil.
	GetTaskPool() gxsync.GenericTaskPool
}

// Client is a pool of sessions to one server.
type Client interface {
	EndPoint
}

// Server is what accepts sessions.
type Server interface {
	EndPoint
}

// StreamServer is a Server over TCP or WebSocket.
type StreamServer interface {
	Server
	// Listener is the listener, nil before RunEventLoop and after Close.
	Listener() net.Listener
}

// PacketServer is a Server over UDP.
type PacketServer interface {
	Server
	// PacketConn is the socket, nil before RunEventLoop and after Close.
	PacketConn() net.PacketConn
}
