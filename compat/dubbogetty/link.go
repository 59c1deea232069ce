// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"errors"
	"net"
	"time"

	engine "github.com/getty-net/getty"
)

// link is what carries a session's bytes.
type link interface {
	conn() net.Conn
	// closed reports whether it has begun to close.
	closed() bool
	// send sends a frame, for UDP to a peer, and returns how many bytes of it.
	send(f *frame, to *net.UDPAddr, timeout time.Duration) (int, error)
	// ping is a sign of life for WebSocket, and nothing for others.
	ping()
	counts() counts
	active() time.Time
	// close ends gracefully, fail so with a cause, and cut at once.
	close()
	fail(cause error)
	cut()
}

// counts are the statistics of a link.
type counts struct {
	bytesIn, bytesOut, in, out int64
	pending                    int // bytes that the kernel has not taken
}

// engineLink is a session of the engine.
type engineLink struct{ s *engine.Session[any] }

func (l engineLink) closed() bool      { return l.s.Closed() }
func (l engineLink) conn() net.Conn    { return l.s.NetConn() }
func (l engineLink) active() time.Time { return l.s.LastActive() }
func (l engineLink) ping()             { _ = l.s.Ping() }
func (l engineLink) close()            { _ = l.s.Close() }
func (l engineLink) fail(cause error)  { l.s.CloseWithCause(cause) }
func (l engineLink) cut()              { _ = l.s.NetConn().Close() }

func (l engineLink) counts() counts {
	st := l.s.Stats()
	return counts{st.BytesIn, st.BytesOut, st.MessagesIn, st.MessagesOut, st.Pending}
}

// send tries without waiting first, so that a timeout costs nothing unless it
// is needed.
func (l engineLink) send(f *frame, _ *net.UDPAddr, timeout time.Duration) (int, error) {
	err := l.s.TrySend(f)
	if errors.Is(err, engine.ErrBackpressure) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		err = l.s.SendContext(ctx, f)
	}
	if err == nil {
		return f.size(), nil
	}
	return writeError(err, timeout)
}

// writeError is what users know the engine's errors as.
func writeError(err error, timeout time.Duration) (sent int, _ error) {
	if se := (*engine.SendError)(nil); errors.As(err, &se) {
		sent, err = se.Written, se.Err
	}
	switch {
	case errors.Is(err, engine.ErrClosed):
		return sent, ErrSessionClosed
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, engine.ErrWriteTimeout):
		return sent, &blockedError{timeout}
	}
	return sent, err
}
