// SPDX-License-Identifier: Apache-2.0

package gettytest

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Addr is the address of an end of a Conn or of a listener.
type Addr string

// Network returns "mem".
func (Addr) Network() string { return "mem" }

// String returns the address.
func (a Addr) String() string { return string(a) }

// Conn is one end of a stream in memory. It is a net.Conn with everything that
// includes: its methods may be called concurrently, Writes do not interleave,
// and Close and deadlines end calls that wait. Errors are *net.OpError as of a
// socket, but for io.EOF.
type Conn struct {
	w             *wire
	peer          *Conn
	in, out       *link
	local, remote Addr
	dice          *rand.Rand // of Read

	// Guarded by w.mu.
	closed  bool      // Close was called
	halved  bool      // CloseWrite was called
	reset   bool      // a reset has reached this end
	writing bool      // a Write is under way
	readBy  time.Time // the deadlines; zero: none
	writeBy time.Time
}

// wire is what the two ends of a conn share. There is one condition for all
// changes: tests have few conns, and fewer things to get wrong.
type wire struct {
	mu     sync.Mutex
	cond   sync.Cond
	client *Conn
	server *Conn
	gone   func() // called when both ends are closed; nil: nobody asked
}

// Pipe returns the two ends of a conn without a network.
func Pipe(f Faults) (client, server *Conn) {
	w := newWire(f.complete(), 0, clientAddr(1), serverAddr(1))
	return w.client, w.server
}

// newWire connects two ends. f is complete.
func newWire(f Faults, id uint64, client, server Addr) *wire {
	w := new(wire)
	w.cond.L = &w.mu
	up := &link{faults: f, dice: f.dice(id, diceClientWrites)}
	down := &link{faults: f, dice: f.dice(id, diceServerWrites)}
	w.client = &Conn{w: w, in: down, out: up, local: client, remote: server, dice: f.dice(id, diceClientReads)}
	w.server = &Conn{w: w, in: up, out: down, local: server, remote: client, dice: f.dice(id, diceServerReads)}
	w.client.peer, w.server.peer = w.server, w.client
	return w
}

// wait waits for a change, at most until the first of the times that are not
// zero. It is called with mu held. It may return early.
func (w *wire) wait(times ...time.Time) { waitUntil(&w.cond, w.wake, times...) }

// waitUntil is cond.Wait with a limit. wake locks and broadcasts: only so can
// it not come between the look at the state and the wait.
func waitUntil(cond *sync.Cond, wake func(), times ...time.Time) {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if !first.IsZero() {
		defer time.AfterFunc(time.Until(first), wake).Stop()
	}
	cond.Wait()
}

func (w *wire) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cond.Broadcast()
}

func (w *wire) closed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.client.closed && w.server.closed
}

// LocalAddr is the Addr of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the Addr of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Read reads what has arrived and waits for it if there is nothing. It fails
// with io.EOF after everything that the peer wrote before CloseWrite or Close,
// and with net.ErrClosed, os.ErrDeadlineExceeded or ECONNRESET.
func (c *Conn) Read(p []byte) (int, error) {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		n, next, err := c.tryRead(p, time.Now())
		if n > 0 {
			w.cond.Broadcast() // the writer has room
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, c.opError("read", err)
		}
		w.wait(next, c.readBy)
	}
}

// tryRead reads without waiting. Nothing at all means: try again at next.
func (c *Conn) tryRead(p []byte, now time.Time) (n int, next time.Time, err error) {
	if err := c.unusable(c.readBy, now); err != nil || len(p) == 0 {
		return 0, next, err
	}
	if end, _ := c.in.ending(now); end == kindReset {
		c.reset = true
		return 0, next, syscall.ECONNRESET
	}
	k, next := c.in.head(now)
	switch k {
	case kindNone:
		return 0, next, nil
	case kindData:
		limit := upTo(len(p), c.in.faults.MaxRead, c.dice)
		return c.in.take(p[:limit], now), next, nil
	case kindBreak:
		c.reset = true
		return 0, next, syscall.ECONNRESET
	}
	return 0, next, io.EOF
}

// unusable is why neither reading nor writing can go on, or nil.
func (c *Conn) unusable(deadline, now time.Time) error {
	switch {
	case c.closed:
		return net.ErrClosed
	case !deadline.IsZero() && !deadline.After(now):
		return os.ErrDeadlineExceeded
	case c.reset:
		return syscall.ECONNRESET
	}
	return nil
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadline(func() { c.readBy, c.writeBy = t, t })
}

// SetReadDeadline ends Reads at t, also those that wait already. A zero t: never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(func() { c.readBy = t })
}

// SetWriteDeadline is SetReadDeadline for Writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(func() { c.writeBy = t })
}

func (c *Conn) setDeadline(set func()) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	set()
	c.w.cond.Broadcast()
	return nil
}

// opError dresses an error like that of a socket.
func (c *Conn) opError(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if no := syscall.Errno(0); errors.As(err, &no) {
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}
