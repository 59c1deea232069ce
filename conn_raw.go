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
	nc net.Conn
	rc syscall.RawConn

	// The reader's, who waits most of the time.
	try func(fd uintptr) bool
	in  *window
	err error // what has ended the reading, told when no bytes came with it

	// The writer's. They stand here rather than in a closure of each write.
	out     []byte
	n       int
	errno   syscall.Errno
	doWrite func(fd uintptr)
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
	c.try = c.onReadable
	c.doWrite = func(fd uintptr) { c.n, c.errno = sysWrite(int(fd), c.out) }
	return c
}

func (c *rawConn) read(in *window) error {
	had := in.len()
	c.in = in
	if c.err == nil {
		if err := c.rc.Read(c.try); err != nil {
			return err
		}
	}
	if in.len() > had {
		return nil
	}
	return c.err
}

// onReadable always reads before it lets the runtime wait: an edge that came
// before the call has been discarded by then. It reads on while there was more
// than room for it: what was sent together is handled, and answered, together,
// unless the window is to be looked at first.
func (c *rawConn) onReadable(fd uintptr) bool {
	for more := false; ; more = true {
		p := c.in.space()
		n, errno := sysRead(int(fd), p)
		switch {
		case errno == syscall.EAGAIN && more:
		case errno == syscall.EAGAIN:
			c.in.park()
			return false
		case errno != 0:
			c.err = c.opError("read", errno)
		case n == 0:
			c.err = io.EOF
		default:
			c.in.filled(n)
			if n == len(p) && !c.in.single && c.in.len() < maxBatch {
				continue
			}
		}
		return true
	}
}

// tryWrite goes through Control, which does no more than keep the descriptor.
func (c *rawConn) tryWrite(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.out = p
	err := c.rc.Control(c.doWrite)
	c.out = nil
	return c.wrote(len(p), err)
}

func (c *rawConn) write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	err := c.rc.Write(func(fd uintptr) bool {
		c.n, c.errno = sysWrite(int(fd), p)
		return c.errno != syscall.EAGAIN
	})
	return c.wrote(len(p), err)
}

// wrote is the result of a write of size bytes, unless it was not even tried.
func (c *rawConn) wrote(size int, err error) (int, error) {
	switch {
	case err != nil:
		return 0, err
	case c.errno != 0 && c.errno != syscall.EAGAIN:
		return 0, c.opError("write", c.errno)
	case c.n < size:
		return c.n, errAgain
	}
	return size, nil
}

// broken tries to write nothing.
func (c *rawConn) broken() bool {
	var errno syscall.Errno
	err := c.rc.Control(func(fd uintptr) { _, errno = sysWrite(int(fd), nil) })
	return err == nil && errno == syscall.EPIPE
}

func (c *rawConn) closeWrite() error { return closeWrite(c.nc) }
func (c *rawConn) close() error      { return c.nc.Close() }
func (c *rawConn) drop()             {}
func (c *rawConn) netConn() net.Conn { return c.nc }

func (c *rawConn) opError(op string, errno syscall.Errno) error {
	network := "unix"
	if _, ok := c.nc.(*net.TCPConn); ok {
		network = "tcp" // its address is nil if the peer was gone before anybody asked
	}
	return &net.OpError{
		Op: op, Net: network, Source: c.nc.LocalAddr(), Addr: c.nc.RemoteAddr(),
		Err: os.NewSyscallError(op, errno),
	}
}
