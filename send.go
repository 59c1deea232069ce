// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/getty-net/getty/internal/bufpool"
)

// Send encodes msg and sends it, in order with this goroutine's other sends and
// never interleaved with another message. msg is not used any more when Send
// returns. nil means accepted, not delivered: if the session ends before the
// peer has read it, OnClose comes. Errors are *SendError; see SafeToRetry.
//
// At the high watermark the policy of Config.Backpressure decides, by default
// to wait, at most WriteTimeout. Inside OnMessage, while more received messages
// wait, sends are collected and leave with the last of them, after a
// millisecond, or by Flush.
func (s *Session[M]) Send(msg M) error {
	var w waiter
	return s.send(&w, msg)
}

// SendContext is Send whose waiting for room ends with ctx as well.
func (s *Session[M]) SendContext(ctx context.Context, msg M) error {
	return s.send(&waiter{ctx: ctx}, msg)
}

// TrySend is Send that never waits: at the high watermark, and when it would be
// the turn of other senders that wait, it fails with ErrBackpressure, whatever the
// policy.
func (s *Session[M]) TrySend(msg M) error { return s.send(&waiter{try: true}, msg) }

func (s *Session[M]) send(w *waiter, msg M) error {
	c := &s.core
	buf, err := c.beginSend(w)
	if err != nil {
		return sendError(err)
	}
	start := len(buf.B)
	b, err := s.encode(c.beginUnit(buf.B), msg)
	if err == nil {
		b, err = c.endUnit(b, start)
	}
	if err != nil {
		c.cancelSend()
		return sendError(err)
	}
	return c.endSend(b, start)
}

// beginUnit and endUnit put a message into the transport's own framing.
func (c *core) beginUnit(dst []byte) []byte {
	if c.framing == nil {
		return dst
	}
	return c.framing.begin(dst)
}

func (c *core) endUnit(dst []byte, start int) ([]byte, error) {
	if c.framing == nil {
		return dst, nil
	}
	return c.framing.end(dst, start)
}

// appendUnit appends a unit that was encoded already. It is called with mu held.
func (c *core) appendUnit(dst, frame []byte) ([]byte, error) {
	return c.endUnit(append(c.beginUnit(dst), frame...), len(dst))
}

// encode appends msg to dst and holds the codec to its contract. The caller
// holds mu, which is released only if the codec calls runtime.Goexit.
func (s *Session[M]) encode(dst []byte, msg M) (b []byte, err error) {
	returned := false
	defer func() {
		if !returned {
			b, err = dst, s.encodePanicked(recover())
		}
	}()
	b, err = s.codec.Append(dst, msg)
	returned = true
	if err != nil || len(b) < len(dst) {
		return dst, badEncoding(len(b), len(dst), err)
	}
	if len(b) > 0 && (cap(dst) == 0 || &b[0] != &dst[:1][0]) {
		// It had to grow, or it is memory of the codec's own, which must not be lent on.
		b = s.regrown(dst, b[len(dst):])
	}
	return b, nil
}

// regrown returns dst and more behind it, in a larger buffer of the session's if
// need be. dst is what buf holds with the beginning of a unit behind it, or nil.
func (c *core) regrown(dst, more []byte) []byte {
	n := len(dst) + len(more)
	if dst == nil || n <= cap(dst) {
		return append(dst, more...)
	}
	if n > bufpool.MaxSize {
		n += n / 4 // up to there sizes double
	}
	old, buf := c.buf, bufpool.Get(n)
	b := append(append(buf.B, dst...), more...)
	buf.B = b[:len(old.B)]
	c.buf = buf
	bufpool.Put(old)
	return b
}

// encodePanicked is for an Append that did not return. recovered is nil after
// runtime.Goexit, when nobody else will release mu.
func (c *core) encodePanicked(recovered any) error {
	if recovered == nil {
		c.cancelSend()
		return ErrGoexit
	}
	return &PanicError{Value: recovered, Stack: debug.Stack()}
}

// badEncoding says what is wrong with an Append that returned n bytes for a
// buffer of had.
func badEncoding(n, had int, err error) error {
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return fmt.Errorf("%w: Append returned %d bytes for a buffer of %d", ErrCodec, n, had)
}

func sendError(err error) error {
	if err == errDropped {
		return nil
	}
	return &SendError{Err: err}
}

// SendFrame sends bytes that are encoded already, as one message. frame is not
// used any more when SendFrame returns. A nil ctx is allowed.
func (s *Session[M]) SendFrame(ctx context.Context, frame []byte) error {
	return s.sendFrame(&waiter{ctx: ctx}, frame)
}

func (c *core) sendFrame(w *waiter, frame []byte) error {
	buf, err := c.beginSend(w)
	if err != nil {
		return sendError(err)
	}
	start := len(buf.B)
	b, err := c.appendUnit(buf.B, frame)
	if err != nil {
		c.cancelSend()
		return sendError(err)
	}
	return c.endSend(b, start)
}

// sendReady is sendFrame for what is in the transport's framing already.
func (c *core) sendReady(w *waiter, ready []byte) error {
	buf, err := c.beginSend(w)
	if err != nil {
		return sendError(err)
	}
	return c.endSend(append(buf.B, ready...), len(buf.B))
}

// Prepared is a message that was encoded once, to be sent over any number of
// sessions of the same codec. On WebSocket it is compressed once, too, for all
// sessions that can share the result.
type Prepared struct {
	frame []byte
	ready sync.Map // the units that transports have made of it
}

// Prepare encodes msg for SendPrepared.
func (s *Session[M]) Prepare(msg M) (*Prepared, error) {
	// The session's lock keeps Append from being called concurrently.
	s.mu.Lock()
	b, err := s.encode(nil, msg)
	s.cancelSend()
	if err != nil {
		return nil, fmt.Errorf("getty: prepare: %w", err)
	}
	return &Prepared{frame: b}, nil
}

// SendPrepared is SendContext for a prepared message. A nil ctx is allowed.
func (s *Session[M]) SendPrepared(ctx context.Context, p *Prepared) error {
	if s.framing != nil {
		if ready := s.framing.prepared(p); ready != nil {
			return s.sendReady(&waiter{ctx: ctx}, ready)
		}
	}
	return s.SendFrame(ctx, p.frame)
}
