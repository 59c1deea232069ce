// SPDX-License-Identifier: Apache-2.0

//go:build unix && !getty_portable

package getty

import (
	"io"
	"net"
	"os"
	"syscall"
)

// rawConn is the conn of exactly *net.TCPConn and *net.UnixConn on Unix
// systems. Its reads and writes are non-blocking system calls made from inside
// RawConn.Read and RawConn.Write, so that waiting happens on the runtime's
// poller with no buffer held, and a write can be tried without waiting.
//
// The functions given to RawConn only try a system call. User code never runs
// inside them: closing the conn from there would dead-lock.
type rawConn struct {
	nc   net.Conn
	rc   syscall.RawConn
	tryR func(fd uintptr) bool
	tryW func(fd uintptr) bool

	// Owned by the reader.
	in   *window
	rerr error

	// Owned by the writer.
	out  []byte
	n    int
	wait bool
	werr error
}

// newStreamConn wraps an accepted or dialed stream. Wrappers that embed a
// *net.TCPConn take the portable path: reading their descriptor would read past
// them.
func newStreamConn(nc net.Conn) conn {
	var sc syscall.Conn
	switch t := nc.(type) {
	case *net.TCPConn:
		sc = t
	case *net.UnixConn:
		sc = t
	default:
		return &portableConn{nc: nc}
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return &portableConn{nc: nc}
	}
	c := &rawConn{nc: nc, rc: rc}
	c.tryR, c.tryW = c.onReadable, c.onWritable
	return c
}

func (c *rawConn) read(in *window) error {
	c.in = in
	if err := c.rc.Read(c.tryR); err != nil {
		return err
	}
	return c.rerr
}

// onReadable always reads before it lets the runtime wait: an edge that came
// before the call has been discarded by then.
func (c *rawConn) onReadable(fd uintptr) bool {
	n, errno := sysRead(int(fd), c.in.space())
	switch {
	case errno == syscall.EAGAIN:
		c.in.park()
		return false
	case errno != 0:
		c.rerr = c.opError("read", errno)
	case n == 0:
		c.rerr = io.EOF
	default:
		c.in.filled(n)
	}
	return true
}

func (c *rawConn) tryWrite(p []byte) (int, error) { return c.doWrite(p, false) }
func (c *rawConn) write(p []byte) (int, error)    { return c.doWrite(p, true) }

func (c *rawConn) doWrite(p []byte, wait bool) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.out, c.n, c.wait, c.werr = p, 0, wait, nil
	err := c.rc.Write(c.tryW)
	c.out = nil
	if err == nil {
		err = c.werr
	}
	return c.n, err
}

func (c *rawConn) onWritable(fd uintptr) bool {
	n, errno := sysWrite(int(fd), c.out)
	switch {
	case errno == syscall.EAGAIN:
		if c.wait {
			return false
		}
		c.werr = errAgain
	case errno != 0:
		c.werr = c.opError("write", errno)
	default:
		c.n = n
		if n < len(c.out) {
			c.werr = errAgain
		}
	}
	return true
}

func (c *rawConn) closeWrite() error { return closeWrite(c.nc) }

// close shuts down first, so that the connection ends although a duplicate of
// the descriptor is still open somewhere.
func (c *rawConn) close() error {
	_ = closeWrite(c.nc)
	return c.nc.Close()
}

func (c *rawConn) drop()             {}
func (c *rawConn) netConn() net.Conn { return c.nc }

func (c *rawConn) opError(op string, errno syscall.Errno) error {
	return &net.OpError{
		Op: op, Net: c.nc.RemoteAddr().Network(), Source: c.nc.LocalAddr(), Addr: c.nc.RemoteAddr(),
		Err: os.NewSyscallError(op, errno),
	}
}
