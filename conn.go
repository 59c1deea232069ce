// SPDX-License-Identifier: Apache-2.0

package getty

import "net"

// conn is the one seam between the engine and a transport. It is chosen when a
// session is made and never changes. The engine guarantees one reader, and one
// writer at a time; close may come from any goroutine.
type conn interface {
	// read adds what has arrived to in and waits until that is at least one
	// byte. Before it waits it calls in.park, so that no buffer is held.
	read(in *window) error

	// tryWrite takes bytes of p without waiting and returns how many are on
	// their way. errAgain means that more can be taken only after a wait: the
	// next call, of tryWrite or write, must begin with the first byte that was
	// not reported, since a conn that transforms bytes may have them inside.
	tryWrite(p []byte) (int, error)

	// write is tryWrite that waits until some progress is made; errAgain then
	// means that waiting goes on. With an empty p it waits for what is left inside.
	write(p []byte) (int, error)

	// closeWrite tells the peer that no more bytes come.
	closeWrite() error

	// close ends the conn; read and write return. It does not wait for the network.
	close() error

	// drop gives back what is still borrowed. It comes last: nothing reads or
	// writes any more.
	drop()

	// netConn is what the user knows this conn as.
	netConn() net.Conn
}

// writeAll writes p and waits until cn has nothing left inside. It is for
// handshakes: the engine's writers never wait for all of something.
func writeAll(cn conn, p []byte) error {
	for {
		n, err := cn.write(p)
		p = p[n:]
		switch {
		case err != nil && err != errAgain:
			return err
		case err == nil && len(p) == 0:
			return nil
		}
	}
}

// discarder is a conn that can wait for the end of the stream without making
// sense of what comes before it, which may be much dearer for us than for the
// peer. discard is read without a window.
type discarder interface{ discard() (n int, err error) }

// slower is a conn with windows of its own. From slow on it reads little at a time.
type slower interface{ slow() }

func slow(raw conn) {
	if s, ok := raw.(slower); ok {
		s.slow()
	}
}

// connOwner is what a conn that makes something else of its bytes tells the
// session. It is called by the reader.
type connOwner interface {
	// controlPending: the conn wants to send by itself.
	controlPending()
	// waits: the conn is about to wait for more, perhaps with a part of a record
	// or piece; see holder.
	waits()
	// nothingYet: something has come, but no plaintext.
	nothingYet()
	// charge: so many bytes have come for nothing.
	charge(n int)
}

// holder is such a conn. held reports whether it, or what lies below it, has a
// part of a record or piece, and how many bytes have come that are not in the
// plaintext yet.
type holder interface{ held() (part bool, got int) }

// heldBelow is held of what lies below.
func heldBelow(raw conn) (part bool, got int) {
	if h, ok := raw.(holder); ok {
		return h.held()
	}
	return false, 0
}

// breaker knows whether its connection can take nothing any more.
type breaker interface{ broken() bool }

func broken(c conn) bool {
	b, ok := c.(breaker)
	return ok && b.broken()
}

// converter is a conn whose plaintext leaves in another form, a piece at a time.
type converter interface {
	// convert makes a piece of p, which is what leaves next.
	convert(p []byte) error
	// flush writes what was converted. With wait it waits for the first progress
	// only, so that its caller can tell a slow peer from a stalled one. errAgain:
	// some of it is left.
	flush(wait bool) error
	// begun reports whether a part of the piece being written is out.
	begun() bool
}

// pieceSize is how much plaintext is converted before it is written. It is the
// longest block of snappy's framing format.
const pieceSize = 64 << 10

// send is write and tryWrite of a converter. taken is how much plaintext stands
// for what was converted and has not left: it counts as done when it has.
func send(c converter, taken *int, p []byte, wait bool) (done int, err error) {
	for {
		if err := c.flush(wait); err != nil {
			if err != errAgain && c.begun() {
				// The peer may have got some of it: nobody must send it again.
				done += *taken
			}
			return done, err
		}
		done += *taken
		*taken = 0
		if done == len(p) || (wait && done > 0) {
			return done, nil
		}
		piece := p[done:min(len(p), done+pieceSize)]
		if err := c.convert(piece); err != nil {
			return done, err
		}
		*taken = len(piece)
	}
}

// errAgain is internal: a conn can go on only after waiting. It is Temporary so
// that crypto/tls does not latch it.
var errAgain error = againError{}

type againError struct{}

func (againError) Error() string   { return "getty: try again" }
func (againError) Timeout() bool   { return false }
func (againError) Temporary() bool { return true }

// halfCloser is what closeWrite needs of a net.Conn.
type halfCloser interface{ CloseWrite() error }

// closeWrite half-closes nc where that is possible. Elsewhere the peer learns
// of the end from the close.
func closeWrite(nc net.Conn) error {
	if hc, ok := nc.(halfCloser); ok {
		return hc.CloseWrite()
	}
	return nil
}
