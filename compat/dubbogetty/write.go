// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	engine "github.com/getty-net/getty"
)

// frame is encoded bytes on their way: whole, or in parts.
type frame struct {
	whole []byte
	parts [][]byte
}

func (f *frame) size() int {
	n := len(f.whole)
	for _, p := range f.parts {
		n += len(p)
	}
	return n
}

func (f *frame) appendTo(dst []byte) []byte {
	dst = append(dst, f.whole...)
	for _, p := range f.parts {
		dst = append(dst, p...)
	}
	return dst
}

// frames saves an allocation per message: the engine takes messages as an any.
var frames = sync.Pool{New: func() any { return new(frame) }}

func (s *session) WritePkg(pkg interface{}, timeout time.Duration) (total, sent int, err error) {
	if pkg == nil {
		return 0, 0, errors.New("getty: WritePkg: the package is nil")
	}
	if s.IsClosed() {
		return 0, 0, ErrSessionClosed
	}
	var to *net.UDPAddr
	udp := false
	switch ctx := pkg.(type) {
	case UDPContext:
		to, udp = ctx.PeerAddr, true
	case *UDPContext:
		if ctx == nil {
			return 0, 0, errors.New("getty: WritePkg: the *UDPContext is nil")
		}
		to, udp = ctx.PeerAddr, true
	}
	b, err := s.encode(pkg)
	if err != nil {
		return len(b), 0, err
	}
	sent, err = s.write(b, nil, udp, to, timeout)
	return len(b), sent, err
}

// encode asks the Writer; a panic there is an error.
func (s *session) encode(pkg any) (b []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			b, err = nil, &engine.PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	w := s.set.Load().writer
	if w == nil {
		return nil, errors.New("getty: the session has no Writer")
	}
	return w.Write(s, pkg)
}

func (s *session) WriteBytes(b []byte) (int, error) {
	if s.IsClosed() {
		return 0, ErrSessionClosed
	}
	if len(b) == 0 {
		return 0, nil
	}
	return s.write(b, nil, false, nil, 0)
}

func (s *session) WriteBytesArray(parts ...[]byte) (int, error) {
	if s.IsClosed() {
		return 0, ErrSessionClosed
	}
	if !slices.ContainsFunc(parts, func(p []byte) bool { return len(p) > 0 }) {
		return 0, nil
	}
	n, err := s.write(nil, parts, false, nil, 0)
	if err == nil {
		s.sentPkgs.Add(int32(min(len(parts), 1<<20) - 1)) //nolint:gosec // bounded
	}
	return n, err
}

func (s *session) Send(pkg interface{}) (int, error) {
	switch p := pkg.(type) {
	case []byte:
		return s.write(p, nil, false, nil, 0)
	case [][]byte:
		if ep := s.endpoint(); ep == nil || ep.kind.isStream() {
			n, err := s.write(nil, p, false, nil, 0)
			if err == nil {
				s.sentPkgs.Add(int32(min(len(p), 1<<20) - 1)) //nolint:gosec // bounded
			}
			return n, err
		}
	case UDPContext:
		if b, ok := p.Pkg.([]byte); ok {
			return s.write(b, nil, true, p.PeerAddr, 0)
		}
	}
	return 0, fmt.Errorf("getty: send: a %T cannot be sent as it is", pkg)
}

// write sends bytes, in one slice or several, as one package. udp says that
// they came in a UDPContext, which sessions over UDP want and others do not take.
func (s *session) write(b []byte, parts [][]byte, udp bool, to *net.UDPAddr, timeout time.Duration) (int, error) {
	ep, l := s.endpoint(), s.link()
	if ep == nil || l == nil {
		return 0, nil
	}
	switch {
	case udp != ep.kind.isUDP():
		return 0, fmt.Errorf("getty: send: a UDPContext is for UDP, and UDP for nothing else; this is %s", ep.kind)
	case ep.kind == UDP_ENDPOINT && to == nil:
		return 0, ErrNullPeerAddr
	}
	if timeout < 1 {
		timeout = s.set.Load().write
	}
	f := frames.Get().(*frame)
	f.whole, f.parts = b, parts
	n, err := l.send(f, to, timeout)
	if errors.Is(err, engine.ErrNotOpen) {
		n, err = s.sendEarly(f, l, to, timeout)
	}
	*f = frame{}
	frames.Put(f)
	return n, err
}

// sendEarly keeps what is written in NewSessionCallback until OnOpen.
func (s *session) sendEarly(f *frame, l link, to *net.UDPAddr, timeout time.Duration) (int, error) {
	s.mu.Lock()
	if s.open.Load() {
		s.mu.Unlock()
		return l.send(f, to, timeout)
	}
	defer s.mu.Unlock()
	s.early = append(s.early, &frame{whole: f.appendTo(nil)})
	return f.size(), nil
}

// sendEarlier sends what was kept.
func (s *session) sendEarlier(l link) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open.Store(true)
	for _, f := range s.early {
		if _, err := l.send(f, nil, s.set.Load().write); err != nil {
			return err
		}
	}
	s.early = nil
	return nil
}

// blockedError is the error of a write for which there was no room in time.
type blockedError struct{ after time.Duration }

func (e *blockedError) Error() string {
	return fmt.Sprintf("%v: no room for %v", ErrSessionBlocked, e.after)
}

func (e *blockedError) Unwrap() []error { return []error{ErrSessionBlocked, os.ErrDeadlineExceeded} }
func (e *blockedError) Timeout() bool   { return true }
func (e *blockedError) Temporary() bool { return true }
