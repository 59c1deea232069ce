// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"net"
	"time"
)

// Session is the conversation over one conn. Every method may be called from
// any goroutine at any time, inside callbacks and after the end, when methods
// return errors or last values and never panic. A session is only ever handled
// by pointer: it is comparable and can be a map key. Its settings come from
// Config and Configure and do not change.
type Session[M any] struct {
	core
	codec  Codec[M]
	events EventListener[M]
	hook   func(*Session[M], *Setup[M]) error // Configure; nil: none
	opens  bool                               // if the packet in its window decodes
}

// newSession makes the session of conn. It is not running yet.
func newSession[M any](ep *endpoint, kind string, cn conn, codec Codec[M], events EventListener[M]) *Session[M] {
	s := &Session[M]{codec: codec, events: events}
	s.ep, s.kind, s.conn, s.lim, s.top = ep, kind, cn, ep.lim, s
	if p, ok := cn.(packetConn); ok {
		s.framing = p
		p.bind(&s.core)
	}
	return s
}

func (s *Session[M]) opened() error { return s.events.OnOpen(s) }
func (s *Session[M]) cron()         { s.events.OnCron(s) }

func (s *Session[M]) closed(cause error) error {
	s.events.OnClose(s, cause)
	return nil
}

// ID is unique within the endpoint and is never used again.
func (s *Session[M]) ID() uint64 { return s.id }

// Transport is the scheme of the URL that the session belongs to, such as "tcp".
func (s *Session[M]) Transport() string { return s.kind }

// LocalAddr is the address of this side.
func (s *Session[M]) LocalAddr() net.Addr { return s.localAddr() }

// RemoteAddr is the address of the peer.
func (s *Session[M]) RemoteAddr() net.Addr { return s.remoteAddr() }

// NetConn is the conn below: exactly *net.TCPConn, *net.UnixConn, *tls.Conn, a
// dialed *net.UDPConn, or what an injected listener or Dial hook gave. It serves
// to set socket options and to look at the TLS state; reading, writing or
// deadlines on it would break the session. Closing it ends the session with an
// error. A session of a udp:// server shares its socket with others: its NetConn
// has addresses and Close, and everything else fails. A duplicate that File makes
// lives on when the session has ended.
func (s *Session[M]) NetConn() net.Conn { return s.netConn() }

// Context is cancelled when the session begins to close; context.Cause then
// matches ErrClosed and the cause of the close.
func (s *Session[M]) Context() context.Context { return s.context() }

// Done is closed when the session begins to close, before OnClose.
func (s *Session[M]) Done() <-chan struct{} { return s.doneChan() }

// Closed reports whether the session has begun to close, like Done, and costs
// nothing. OnClose may still be to come.
func (s *Session[M]) Closed() bool { return s.closing() }

// Close ends the session. It returns at once: messages accepted before are
// flushed, bounded by WriteTimeout, the peer gets CloseTimeout to close as
// well, and OnClose(nil) follows. Nothing is delivered to OnMessage any more.
// Only the first of all causes counts. It always returns nil.
func (s *Session[M]) Close() error {
	s.closeWith(nil)
	return nil
}

// CloseWithCause is Close with a cause for OnClose, Context and later errors.
func (s *Session[M]) CloseWithCause(cause error) { s.closeWith(cause) }

// Flush writes what has been collected while OnMessage runs. It does not wait.
func (s *Session[M]) Flush() error { return s.flush() }

// Ping asks a WebSocket peer for a sign of life, which LastActive shows. It does
// not wait, and over the high watermark, where a ping would only queue, it is
// left out and Ping returns nil all the same. Other transports have no such
// question: ErrUnsupported. See Config.Keepalive for doing so regularly.
func (s *Session[M]) Ping() error {
	if _, ok := s.framing.(*webSocket); !ok {
		return ErrUnsupported
	}
	if !s.is(stateOpen) {
		return sendError(ErrClosed)
	}
	s.sendControl(s.framing.ping, false)
	return nil
}

// Writable returns a channel that is closed as soon as a send would not meet
// the high watermark, and when the session closes. Each call asks anew.
func (s *Session[M]) Writable() <-chan struct{} { return s.writable() }

// Stats returns a snapshot of the session's counters.
func (s *Session[M]) Stats() SessionStats { return s.stats() }

// LastActive is when bytes were last received or, where a timeout or keepalive
// is configured, taken by the kernel.
func (s *Session[M]) LastActive() time.Time {
	last := s.lastRead.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timers != nil {
		last = max(last, s.timers.lastSent.Load())
	}
	return s.ep.start.Add(time.Duration(last))
}

// Value returns what SetValue stored under key, or nil.
func (s *Session[M]) Value(key any) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key]
}

// SetValue stores a value for the user of the session; nil deletes it. Keys
// compare as in a map and should have a type of the caller's own.
func (s *Session[M]) SetValue(key, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value == nil {
		delete(s.values, key)
		return
	}
	if s.values == nil {
		s.values = make(map[any]any)
	}
	s.values[key] = value
}

// netConn is conn.netConn for who may be ahead of opening, where layers are still put over the conn.
func (c *core) netConn() net.Conn {
	if c.is(stateNew) {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	return c.conn.netConn()
}

// sessionContext is what Session.Context returns.
type sessionContext struct {
	context.Context
	cancel context.CancelCauseFunc
}

// context makes the session's context when it is first asked for.
func (c *core) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx = new(sessionContext)
		c.ctx.Context, c.ctx.cancel = context.WithCancelCause(context.Background())
		if c.closing() {
			c.ctx.cancel(c.closedError())
		}
	}
	return c.ctx.Context
}
