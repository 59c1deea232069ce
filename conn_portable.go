// SPDX-License-Identifier: Apache-2.0

package getty

import "net"

// portableConn is the conn of streams of which nothing is known but net.Conn:
// wrapped and in-memory ones, and all streams on systems without non-blocking
// descriptors. It waits in a read of one byte and borrows a buffer only then.
// A write cannot be tried without waiting, so all writes are the drainer's.
type portableConn struct {
	nc  net.Conn
	one [1]byte
}

// portableChunk bounds one blocking Write: progress shows only between Writes,
// and a peer that takes this much within WriteTimeout is not stalled.
const portableChunk = 16 << 10

func (c *portableConn) read(in *window) error {
	if in.len() == 0 {
		in.park()
		return c.readOne(in)
	}
	n, err := c.readSome(in.space())
	if n > 0 {
		in.filled(n)
		return nil
	}
	return err
}

// readOne waits with no buffer held. Reading on at once could wait again while
// the one byte completes a message, so the caller decides.
func (c *portableConn) readOne(in *window) error {
	for {
		n, err := c.readSome(c.one[:])
		if n == 1 {
			in.space()[0] = c.one[0]
			in.w++
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *portableConn) readSome(p []byte) (n int, err error) {
	defer foreign(&err)
	n, err = c.nc.Read(p)
	return possible(n, len(p), err)
}

func (c *portableConn) tryWrite(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return 0, errAgain
}

func (c *portableConn) write(p []byte) (n int, err error) {
	defer foreign(&err)
	if len(p) == 0 {
		return 0, nil
	}
	p = p[:min(len(p), portableChunk)]
	n, err = c.nc.Write(p)
	return possible(n, len(p), err)
}

// closesSlowly reports whether closing a conn, or its write side, may wait for
// the network: who knows what a conn of somebody else's does. A tls.Conn tries
// for five seconds to tell its peer.
func closesSlowly(c conn) bool {
	switch c := c.(type) {
	case *tlsConn:
		return closesSlowly(c.raw)
	case *compressConn:
		return closesSlowly(c.raw)
	case *portableConn:
		switch c.nc.(type) {
		case *net.TCPConn, *net.UnixConn:
			return false
		}
		return true
	}
	return false
}

func (c *portableConn) closeWrite() (err error) {
	defer foreign(&err)
	return closeWrite(c.nc)
}

func (c *portableConn) close() error      { return shut(c.nc) }
func (c *portableConn) drop()             {}
func (c *portableConn) netConn() net.Conn { return c.nc }
