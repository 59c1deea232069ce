// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	engine "github.com/getty-net/getty"
)

// engineSide is a session as the engine knows it: the codec and the listener of
// one session of its own.
type engineSide session

// skipped stands for a message that was consumed and is not delivered.
type skipped struct{}

// connectPing is what clients of the original probe a UDP server with.
const connectPing = "connect-ping"

// Append copies a frame: packages are encoded before, outside of the engine's lock.
func (*engineSide) Append(dst []byte, msg any) ([]byte, error) {
	return msg.(*frame).appendTo(dst), nil
}

// Decode asks the Reader.
func (e *engineSide) Decode(data []byte) (any, int, error) {
	s := (*session)(e)
	ep := s.endpoint()
	switch {
	case ep == nil: // Reset
		return skipped{}, len(data), nil
	case ep.kind.isStream():
		return s.decodeStream(data, ep.pool != nil)
	}
	if ep.kind.isWebSocket() {
		if limit := s.limit; limit > 0 && len(data) > limit {
			return s.spoiled(fmt.Errorf("%w: more than %d bytes", engine.ErrMessageTooLong, limit))
		}
		// A message of WebSocket has always been the user's to keep.
		return s.decodeMessage(bytes.Clone(data)), len(data), nil
	}
	if ep.pool != nil {
		data = bytes.Clone(data)
	}
	peer, _ := s.Conn().RemoteAddr().(*net.UDPAddr)
	return s.decodePacket(data, peer), len(data), nil
}

// DecodeEmpty is for a WebSocket message without bytes. A packet without is nothing.
func (e *engineSide) DecodeEmpty() (any, error) {
	s := (*session)(e)
	if ep := s.endpoint(); ep != nil && ep.kind.isWebSocket() {
		return s.decodeMessage([]byte{}), nil
	}
	return skipped{}, nil
}

// decodeStream takes one package out of a stream.
func (s *session) decodeStream(data []byte, keep bool) (any, int, error) {
	set := s.set.Load()
	if set.reader == nil {
		return s.spoiled(errors.New("getty: the session has no Reader"))
	}
	in := data
	if keep {
		in = s.keep(data)
	}
	pkg, n, err := set.reader.Read(s, in)
	switch {
	case err != nil:
		return s.spoiled(err)
	case set.maxMsg > 0 && n > set.maxMsg:
		return s.spoiled(fmt.Errorf("%w: %d bytes, at most %d allowed", engine.ErrMessageTooLong, n, set.maxMsg))
	case pkg == nil && set.maxMsg > 0 && len(data) >= set.maxMsg:
		return s.spoiled(fmt.Errorf("%w: more than %d bytes", engine.ErrMessageTooLong, set.maxMsg))
	case pkg == nil && n > len(data):
		return nil, n, nil
	case pkg == nil:
		return nil, 0, nil
	case n < 1:
		return s.spoiled(fmt.Errorf("%w: Read returned a package of %d bytes", engine.ErrCodec, n))
	}
	n = min(n, len(data))
	if keep {
		s.kept = s.kept[n:]
	}
	return pkg, n, nil
}

// spoiled remembers the error that ends a stream, to be given to OnError as it is.
func (s *session) spoiled(err error) (any, int, error) {
	s.cause = err
	return nil, 0, err
}

// keep returns data in memory that is never used again, so that packages may
// alias it for as long as they like. What was kept before is the beginning of
// data; memory for new bytes is reserved ahead.
func (s *session) keep(data []byte) []byte {
	have := len(s.kept)
	if cap(s.kept) < len(data) {
		grown := make([]byte, have, max(2*len(data), 4096))
		copy(grown, s.kept)
		s.kept = grown
	}
	s.kept = append(s.kept, data[have:]...)
	return s.kept[:len(data):len(data)]
}

// decodeMessage makes a package of a WebSocket message, which is dropped if the
// Reader does not like it.
func (s *session) decodeMessage(data []byte) any {
	set := s.set.Load()
	if set.reader == nil {
		return data
	}
	pkg, n, err := set.reader.Read(s, data)
	if err == nil && set.maxMsg > 0 && n > set.maxMsg {
		err = fmt.Errorf("%w: %d bytes, at most %d allowed", engine.ErrMessageTooLong, n, set.maxMsg)
	}
	if err != nil {
		s.dropped("message", err)
		return skipped{}
	}
	return pkg
}

// decodePacket makes a package of a packet, which is dropped likewise.
func (s *session) decodePacket(data []byte, peer *net.UDPAddr) any {
	set := s.set.Load()
	switch {
	case len(data) == 0, string(data) == connectPing:
		return skipped{}
	case set.reader == nil:
		s.dropped("packet", errors.New("the session has no Reader"))
		return skipped{}
	}
	pkg, n, err := set.reader.Read(s, data)
	switch {
	case err == nil && set.maxMsg > 0 && len(data) > set.maxMsg:
		err = fmt.Errorf("%w: %d bytes, at most %d allowed", engine.ErrMessageTooLong, len(data), set.maxMsg)
	case err == nil && n == 0:
		err = errors.New("the Reader took none of it")
	}
	if err != nil {
		s.dropped("packet", err)
		return skipped{}
	}
	return UDPContext{Pkg: pkg, PeerAddr: peer}
}

func (s *session) dropped(what string, err error) {
	if l := GetLogger(); l != nil {
		l.Warnf("%s: a %s was dropped: %v", s, what, err)
	}
}

// OnOpen opens the session for the user.
func (e *engineSide) OnOpen(es *engine.Session[any]) error {
	s := (*session)(e)
	ep := s.endpoint()
	if ep == nil {
		return ErrSessionClosed // Reset
	}
	if err := s.sendEarlier(engineLink{es}); err != nil {
		return err
	}
	if err := s.set.Load().listener.OnOpen(s); err != nil {
		return err
	}
	if s.closed.Load() { // in OnOpen or before: it is no session of the pool
		_ = es.Close()
		s.closing()
		return nil
	}
	ep.opened(s)
	s.startCron()
	return nil
}

// OnMessage delivers one package.
func (e *engineSide) OnMessage(_ *engine.Session[any], msg any) error {
	s := (*session)(e)
	if _, skip := msg.(skipped); skip {
		return nil
	}
	s.deliver(msg)
	return nil
}

func (s *session) deliver(msg any) {
	ep, listener := s.endpoint(), s.set.Load().listener
	switch {
	case ep == nil || listener == nil:
	case ep.pool == nil:
		listener.OnMessage(s, msg)
	default:
		s.onPool(func() { listener.OnMessage(s, msg) })
	}
}

// OnCron is never called: cron.go has a timer whose period can change.
func (*engineSide) OnCron(*engine.Session[any]) {}

// OnClose ends the session for the user.
func (e *engineSide) OnClose(es *engine.Session[any], cause error) {
	s := (*session)(e)
	if _, panicked := errors.AsType[*engine.PanicError](cause); !panicked && cause != nil && s.cause != nil {
		cause = s.cause
	}
	s.ep.closed(s, es.ID(), cause) // after Reset as well
	s.ended(cause)
}

// closing limits how long it takes to close: by the wait time in all, and by the
// read timeout, as it is now, once everything has been sent. It is called by
// Close, and when OnCron is due: sessions that end otherwise have little to
// flush, if anything, and do not pay for being watched.
func (s *session) closing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cron.stop()
	l := s.link()
	if l == nil || s.cutT != nil {
		return
	}
	set := s.set.Load()
	end := time.Now().Add(set.wait)
	s.cutT = time.AfterFunc(min(set.wait, set.read), func() {
		left := time.Until(end)
		if left <= 0 || l.counts().pending == 0 {
			l.cut()
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.link() != nil {
			s.cutT.Reset(min(left, set.read))
		}
	})
}

// ended runs the last callbacks and leaves the session with zero values.
func (s *session) ended(cause error) {
	s.closed.Store(true)
	defer s.release()
	ep, listener := s.endpoint(), s.set.Load().listener
	if ep == nil || listener == nil {
		return
	}
	defer listener.OnClose(s)
	if ep.isError(cause) {
		listener.OnError(s, cause)
	}
}

func (s *session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.via.Store(nil)
	s.attrs, s.early = nil, nil
	s.cron.stop()
	if s.cutT != nil {
		s.cutT.Stop()
	}
}

// isError reports whether OnError is told about the end of a session: not if it
// was asked for here, and not of the end of a TCP stream.
func (ep *endpoint) isError(cause error) bool {
	return cause != nil && !errors.Is(cause, engine.ErrShutdown) && !ep.isEOF(cause)
}

// isEOF reports whether the peer has closed a TCP stream in an orderly way.
func (ep *endpoint) isEOF(cause error) bool {
	return ep.kind.isStream() && (errors.Is(cause, io.EOF) || cause == io.ErrUnexpectedEOF) //nolint:errorlint // wrapped, it is TLS's
}
