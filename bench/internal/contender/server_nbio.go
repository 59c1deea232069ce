// SPDX-License-Identifier: Apache-2.0

//go:build !single || nbio

package contender

import (
	"fmt"
	"net"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
)

func init() {
	starters["nbio"] = startNbio
	starters["ws-nbio"] = startWSNbio
	starters["udp-nbio"] = startUDPNbio
}

// nbioServer is nbio's engine in its default mode: level-triggered, the poller reads and calls OnData.
type nbioServer struct {
	engine *nbio.Engine
	addr   net.Addr
}

// nbioConn is what a connection keeps between two reads: an incomplete frame.
type nbioConn struct{ rest []byte }

func startNbio(opts Options) (Server, error) {
	logging.SetLevel(logging.LevelNone)
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	e := nbio.NewEngine(nbio.Config{
		Network: "tcp", Addrs: []string{addr}, MaxWriteBufferSize: 6 << 20, ReadBufferSize: opts.window(),
	})
	e.OnOpen(func(c *nbio.Conn) { c.SetSession(new(nbioConn)) })
	e.OnData(func(c *nbio.Conn, data []byte) {
		if err := c.Session().(*nbioConn).handle(c, data); err != nil {
			_ = c.Close()
		}
	})
	if err := e.Start(); err != nil {
		return nil, fmt.Errorf("nbio: %w", err)
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	return &nbioServer{e, tcp}, err
}

// handle answers the complete frames with one write. Data belongs to the poller, so that an incomplete frame is
// copied; as long as none is left over, nothing is.
func (s *nbioConn) handle(c *nbio.Conn, data []byte) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	out, used, err := (*buf)[:0], 0, error(nil)
	if len(s.rest) > 0 {
		s.rest, data = fill(s.rest, data)
		if out, used, err = answerAll(out, s.rest); err != nil {
			return err
		}
		s.rest = append(s.rest[:0], s.rest[used:]...)
	}
	if out, used, err = answerAll(out, data); err != nil {
		return err
	}
	s.rest = append(s.rest, data[used:]...)
	if *buf = out; len(out) == 0 {
		return nil
	}
	_, err = c.Write(out) // copies what the kernel does not take
	return err
}

func (s *nbioServer) Addr() net.Addr { return s.addr }

func (s *nbioServer) Close() error {
	s.engine.Stop()
	return nil
}
