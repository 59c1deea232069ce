// SPDX-License-Identifier: Apache-2.0

//go:build !single || dubbogetty

package contender

import (
	"errors"
	"fmt"
	"net"
	"time"

	dubbogetty "github.com/apache/dubbo-getty"
)

func init() {
	starters["dubbogetty"] = startDubboGetty
}

// dubboServer is getty's predecessor, without a task pool: the echo is cheaper where it is.
type dubboServer struct {
	dubbogetty.Server
	addr net.Addr
}

func startDubboGetty(Options) (Server, error) {
	if err := dubbogetty.SetLoggerLevel(dubbogetty.LoggerLevelError); err != nil {
		return nil, fmt.Errorf("dubbogetty: %w", err)
	}
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	srv := dubbogetty.NewTCPServer(dubbogetty.WithLocalAddress(addr))
	srv.RunEventLoop(func(s dubbogetty.Session) error {
		s.SetPkgHandler(DubboFrames{})
		s.SetEventListener(dubboEcho{})
		s.SetMaxMsgLen(maxBody)
		return nil
	})
	return &dubboServer{srv, tcp}, nil
}

func (s *dubboServer) Addr() net.Addr { return s.addr }

func (s *dubboServer) Close() error {
	s.Server.Close()
	return nil
}

// DubboFrames is the codec; the messages are bodies, as []byte.
type DubboFrames struct{}

// Read implements dubbogetty.Reader.
func (DubboFrames) Read(_ dubbogetty.Session, data []byte) (any, int, error) {
	body, size, err := next(data)
	if err != nil || size == 0 {
		return nil, 0, err
	}
	return body, size, nil
}

// Write implements dubbogetty.Writer.
func (DubboFrames) Write(_ dubbogetty.Session, msg any) ([]byte, error) {
	body, ok := msg.([]byte)
	if !ok {
		return nil, errors.New("dubbogetty: not a body")
	}
	return appendFrame(make([]byte, 0, header+len(body)), body), nil
}

type dubboEcho struct{}

func (dubboEcho) OnOpen(dubbogetty.Session) error   { return nil }
func (dubboEcho) OnClose(dubbogetty.Session)        {}
func (dubboEcho) OnError(dubbogetty.Session, error) {}
func (dubboEcho) OnCron(dubbogetty.Session)         {}

func (dubboEcho) OnMessage(s dubbogetty.Session, msg any) {
	// A second, as its examples have it, is too short for the largest cells.
	if _, _, err := s.WritePkg(msg, 10*time.Second); err != nil {
		s.Close()
	}
}
