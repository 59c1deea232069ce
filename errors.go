// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"fmt"
	"net"
)

// Causes of a session's end, and errors of calls. Two more causes come from
// package io: EOF when the peer closed between two messages, ErrUnexpectedEOF
// when it closed inside one. A nil cause means that Close was called here.
var (
	// ErrClosed is what calls on a closed session, client or server fail with.
	// errors.Is(err, net.ErrClosed) holds for it, too.
	ErrClosed error = closedError{}
	// ErrNotOpen is the error of sending inside Configure, before OnOpen.
	ErrNotOpen = errors.New("getty: session is not open yet")
	// ErrShutdown is the cause of sessions that Shutdown drained or Close of a
	// server or client cut.
	ErrShutdown = errors.New("getty: endpoint is shut down")
	// ErrRestart is the cause of a client's session whose server said that it
	// restarts: by a WebSocket's CloseServiceRestart, or because the listener
	// gave it to CloseWithCause when the server said so in its own words. The
	// client then spreads its reconnects over ClientConfig.Spread.
	ErrRestart = errors.New("getty: server restarts")
	// ErrServerClosed is returned by Serve and Listen after Shutdown or Close.
	ErrServerClosed = errors.New("getty: server closed")

	// ErrIdle ends a session without progress in either direction for IdleTimeout.
	ErrIdle error = timeoutError("getty: idle timeout")
	// ErrKeepalive ends a session whose peer left its keepalives unanswered.
	ErrKeepalive error = timeoutError("getty: keepalive timeout")
	// ErrWriteTimeout ends a session whose peer took no byte for WriteTimeout.
	// A sender that waited that long for room gets it in a *SendError.
	ErrWriteTimeout error = timeoutError("getty: write timeout")
	// ErrMessageTimeout ends a session that left a message unfinished for
	// MessageTimeout, or sent it more slowly than Limits.MinRate.
	ErrMessageTimeout error = timeoutError("getty: message timeout")
	// ErrFirstMessage ends a session that sent nothing for Limits.FirstMessageTimeout.
	ErrFirstMessage error = timeoutError("getty: no first message")
	// ErrHandshakeTimeout ends a connection that did not finish its handshake.
	ErrHandshakeTimeout error = timeoutError("getty: handshake timeout")

	// ErrCompression fails a handshake with a peer whose Compression is another
	// one, and ends a session whose bytes are not what was agreed on.
	ErrCompression = errors.New("getty: wrong compression")

	// ErrSlowConsumer ends a session over its high watermark under PolicyClose,
	// and one whose peer takes less than Limits.MinRate.
	ErrSlowConsumer = errors.New("getty: slow consumer")
	// ErrBackpressure is the error of TrySend, and of Send under PolicyFail,
	// while the session is over its high watermark.
	ErrBackpressure = errors.New("getty: over the high watermark")
	// ErrMessageTooLong ends a session whose peer sends a message beyond MaxMessageSize.
	ErrMessageTooLong = errors.New("getty: message too long")
	// ErrPacketTooLong fails a send over UDP of more than a packet can hold, or
	// than the path to the peer lets through. The session goes on.
	ErrPacketTooLong = errors.New("getty: packet too long")
	// ErrIncomplete ends a WebSocket session one of whose messages holds more
	// or less than whole messages of the codec. On UDP it is counted only.
	ErrIncomplete = errors.New("getty: a unit of the transport ends inside a message")
	// ErrCodec ends a session whose codec broke the contract of Codec.
	ErrCodec = errors.New("getty: codec broke its contract")
	// ErrGoexit ends a session in one of whose callbacks runtime.Goexit was called.
	ErrGoexit = errors.New("getty: callback called runtime.Goexit")

	// ErrRateLimit ends a session beyond Limits.Messages or Limits.Bytes, with
	// Limits.Throttle one that would have to wait too long.
	ErrRateLimit = errors.New("getty: rate limit")

	// ErrDenied is reported for connections from addresses outside Guard.Access.
	ErrDenied = errors.New("getty: address is denied")
	// ErrAcceptRate is reported for connections beyond Guard.Accepts or Guard.AcceptsPerPrefix.
	ErrAcceptRate = errors.New("getty: too many connections a second")
	// ErrTooManySessions is reported for connections beyond MaxSessions,
	// MaxSessionsPerAddr or Guard.MaxSessionsPerPrefix.
	ErrTooManySessions = errors.New("getty: too many sessions")
	// ErrGaveUp is what a client's calls return after MaxFailures consecutive
	// failures, until Connect is called again. It wraps the last failure.
	ErrGaveUp = errors.New("getty: client gave up reconnecting")
	// ErrSelfConnect fails a dial that TCP connected to its own port.
	ErrSelfConnect = errors.New("getty: connected to itself")
	// ErrUnsupported is returned by calls that a session's transport has nothing for.
	ErrUnsupported = errors.New("getty: not supported by this transport")
)

// errHandshake and errPreface are what a connection failed in that never was a
// session, for CauseKind.
var (
	errHandshake = errors.New("getty: handshake")
	errPreface   = errors.New("getty: preface")
)

// closedError is ErrClosed. It is a type of its own so that net.ErrClosed matches.
type closedError struct{}

func (closedError) Error() string        { return "getty: session is closed" }
func (closedError) Is(target error) bool { return target == net.ErrClosed }

// timeoutError is a sentinel that is a net.Error with Timeout() true.
type timeoutError string

func (e timeoutError) Error() string { return string(e) }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return false }

// SendError is the error of every failed send.
type SendError struct {
	// Written is how many bytes of this message's frame the kernel had taken.
	// Above zero the peer may have seen a part, and the session has ended.
	Written int
	// Err says why: ErrClosed, ErrBackpressure, ErrWriteTimeout, the error of
	// the context, the codec or the socket.
	Err error
}

// Error names the reason.
func (e *SendError) Error() string {
	if e.Written == 0 {
		return fmt.Sprintf("getty: send: %v", e.Err)
	}
	return fmt.Sprintf("getty: send: %d bytes written: %v", e.Written, e.Err)
}

// Unwrap returns Err.
func (e *SendError) Unwrap() error { return e.Err }

// SafeToRetry reports whether err is of a send of which no byte left, so that
// the message can be sent again, elsewhere, without arriving twice.
func SafeToRetry(err error) bool {
	se, ok := errors.AsType[*SendError](err)
	return ok && se.Written == 0
}

// PanicError is the cause of a session one of whose callbacks, or whose conn if it
// is not getty's, panicked, and the error of a send whose codec panicked, and of
// what a panicking hook or listener has failed. It also stands in the place of an
// error that panics when errors.Is, errors.As or its Timeout are called.
type PanicError struct {
	// Value is what panic was called with.
	Value any
	// Stack is the stack of the panic, as debug.Stack formats it.
	Stack []byte
}

// Error gives the value without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("getty: panic in callback: %v", e.Value) }

// Unwrap returns Value if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// ConfigError is the error of a configuration out of range.
type ConfigError struct {
	// Field is the name of the setting, like "Config.MaxMessageSize".
	Field string
	// Problem says what it is and what it should be.
	Problem string
}

// Error names field and range.
func (e *ConfigError) Error() string { return "getty: " + e.Field + " " + e.Problem }
