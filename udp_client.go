// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// udpClient is the conn of a dialed session: a connected socket. Nothing is
// sent to open it. What it hears about an unreachable peer is a soft error; the
// peer may come back.
type udpClient struct {
	packetFraming
	nc     net.Conn
	in     *window // during read
	add    func(packet)
	park   func()
	closed atomic.Bool
	ended  atomic.Bool // by closeWrite
}

func newUDPClient(ep *endpoint, nc net.Conn) *udpClient {
	c := &udpClient{nc: nc}
	c.io, c.slow = newClientIO(ep, nc)
	c.add, c.park = c.onPacket, func() { c.in.park() }
	return c
}

func (c *udpClient) onPacket(pk packet) {
	if pk.truncated {
		c.count.truncated.Add(1)
		return
	}
	c.in.addRecord(pk.data)
}

func (c *udpClient) read(in *window) error {
	in.release() // what is left is of a session that delivers no more
	c.in = in
	for in.len() == 0 {
		err := c.io.receive(c.park, c.add)
		switch {
		case err == nil:
		case c.ended.Load():
			return io.EOF
		case c.closed.Load() || hardError(err):
			return err
		default:
			c.soft(err)
			if !unreachable(err) {
				time.Sleep(udpRetry)
			}
		}
	}
	return nil
}

func (c *udpClient) write(p []byte) (int, error) {
	return c.waitWrite(p, func() bool {
		time.Sleep(udpRetry)
		return !c.closed.Load()
	})
}

// closeWrite ends the session: there is no peer to wait for.
func (c *udpClient) closeWrite() error {
	c.ended.Store(true)
	return c.close()
}

func (c *udpClient) close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.io.close()
}

func (c *udpClient) netConn() net.Conn { return c.nc }
