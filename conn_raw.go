// SPDX-License-Identifier: Apache-2.0

//go:build unix && !getty_portable

package getty

import (
	"io"
	"net"
	"os"
	"sync"
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
}

// rawWrite is one write. Those that write share some: an idle session has none.
type rawWrite struct {
	c    *rawConn
	out  []byte
	n    int
	wait bool
	err  error
	try  func(fd uintptr) bool
}

var rawWrites = sync.Pool{New: func() any {
	w := new(rawWrite)
	w.try = w.onWritable
	return w
}}

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
// than room for it: what was sent together is handled, and answered, together.
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
			if n == len(p) && c.in.len() < maxBatch {
				continue
			}
		}
		return true
	}
}

func (c *rawConn) tryWrite(p []byte) (int, error) { return c.doWrite(p, false) }
func (c *rawConn) write(p []byte) (int, error)    { return c.doWrite(p, true) }

func (c *rawConn) doWrite(p []byte, wait bool) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	w := rawWrites.Get().(*rawWrite)
	w.c, w.out, w.n, w.wait, w.err = c, p, 0, wait, nil
	if err = c.rc.Write(w.try); err == nil {
		err = w.err
	}
	n = w.n
	w.c, w.out, w.err = nil, nil, nil
	rawWrites.Put(w)
	return n, err
}

func (w *rawWrite) onWritable(fd uintptr) bool {
	n, errno := sysWrite(int(fd), w.out)
	switch {
	case errno == syscall.EAGAIN:
		if w.wait {
			return false
		}
		w.err = errAgain
	case errno != 0:
		w.err = w.c.opError("write", errno)
	default:
		w.n = n
		if n < len(w.out) {
			w.err = errAgain
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
