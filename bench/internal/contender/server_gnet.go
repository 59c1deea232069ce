// SPDX-License-Identifier: Apache-2.0

//go:build !single || gnet

package contender

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/panjf2000/gnet/v2"
)

func init() {
	starters["gnet"] = startGnet
	starters["udp-gnet"] = startUDPGnet
}

// gnetServer decodes out of what Peek shows, and writes once for each traffic event.
type gnetServer struct {
	gnet.BuiltinEventEngine
	engine gnet.Engine
	addr   net.Addr
	booted chan struct{}
}

// gnetUDP echoes packets.
type gnetUDP struct{ gnetServer }

// OnTraffic gets one packet, which Peek shows in gnet's own buffer.
func (*gnetUDP) OnTraffic(c gnet.Conn) gnet.Action {
	packet, err := c.Peek(-1)
	if err == nil {
		_, err = c.Write(packet)
	}
	if err != nil {
		return gnet.Close
	}
	return gnet.None
}

func startUDPGnet(Options) (Server, error) {
	addr, err := freeUDPPort()
	if err != nil {
		return nil, err
	}
	s := &gnetUDP{gnetServer{booted: make(chan struct{}), addr: addr}}
	failed := make(chan error, 1)
	go func() {
		failed <- gnet.Run(s, "udp://"+addr.String(), gnet.WithMulticore(true), gnet.WithLogger(silent{}),
			gnet.WithSocketRecvBuffer(udpBuffer))
	}()
	select {
	case err := <-failed:
		return nil, fmt.Errorf("gnet: %w", err)
	case <-s.booted:
		return s, nil
	}
}

// gnetConn is what a connection keeps between two events.
type gnetConn struct{ partial bool } // the last event ended within a frame

func startGnet(opts Options) (Server, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &gnetServer{booted: make(chan struct{})}
	if s.addr, err = net.ResolveTCPAddr("tcp", addr); err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() {
		// WithMulticore is gnet's advice: one event loop for each processor that the process may use.
		failed <- gnet.Run(s, "tcp://"+addr, gnet.WithMulticore(true), gnet.WithLogger(silent{}),
			gnet.WithReadBufferCap(opts.window()), gnet.WithWriteBufferCap(opts.window()))
	}()
	select {
	case err := <-failed:
		return nil, fmt.Errorf("gnet: %w", err)
	case <-s.booted:
		return s, nil
	}
}

func (s *gnetServer) OnBoot(e gnet.Engine) gnet.Action {
	s.engine = e
	close(s.booted)
	return gnet.None
}

func (s *gnetServer) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	c.SetContext(new(gnetConn))
	return nil, gnet.None
}

func (s *gnetServer) OnTraffic(c gnet.Conn) gnet.Action {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	out, err := c.Context().(*gnetConn).answer((*buf)[:0], c)
	if err != nil {
		return gnet.Close
	}
	if *buf = out; len(out) == 0 {
		return gnet.None
	}
	if _, err := c.Write(out); err != nil { // copies what the kernel does not take
		return gnet.Close
	}
	return gnet.None
}

// answer appends the answers to all complete frames.
func (g *gnetConn) answer(out []byte, c gnet.Conn) ([]byte, error) {
	out, err := g.cut(out, c)
	if err != nil {
		return out, err
	}
	data, err := c.Peek(-1)
	if err != nil {
		return out, err
	}
	out, used, err := answerAll(out, data)
	if err != nil {
		return out, err
	}
	g.partial = used < len(data)
	if used > 0 {
		_, err = c.Discard(used)
	}
	return out, err
}

// cut answers the frame that the last event left incomplete, if it is complete now. To Peek everything would copy
// what came with its other half; once the frame is discarded, Peek copies nothing.
func (g *gnetConn) cut(out []byte, c gnet.Conn) ([]byte, error) {
	buffered := c.InboundBuffered()
	if !g.partial || buffered < header {
		return out, nil
	}
	head, err := c.Peek(header)
	if err != nil {
		return out, err
	}
	size := header + int(binary.BigEndian.Uint32(head))
	if size > buffered {
		return out, nil
	}
	frame, err := c.Peek(size)
	if err != nil {
		return out, err
	}
	out = appendFrame(out, frame[header:])
	_, err = c.Discard(size)
	return out, err
}

func (s *gnetServer) Addr() net.Addr { return s.addr }

func (s *gnetServer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return s.engine.Stop(ctx)
}

// silent is a gnet logger: the default one writes to standard output, which belongs to package control.
type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}
