// SPDX-License-Identifier: Apache-2.0

//go:build !single || nbio

package contender

import (
	"fmt"
	"net"
	"net/http"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// nbioHTTP is nbio's HTTP engine in its default mode, non-blocking.
type nbioHTTP struct {
	engine *nbhttp.Engine
	addr   net.Addr
}

func startWSNbio(opts Options) (Server, error) {
	logging.SetLevel(logging.LevelNone)
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	u := websocket.NewUpgrader()
	u.EnableCompression(opts.Deflate)
	u.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, data []byte) {
		if c.WriteMessage(kind, data) != nil {
			_ = c.Close()
		}
	})
	e := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp", Addrs: []string{addr}, MaxLoad: 1 << 20, ReleaseWebsocketPayload: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := u.Upgrade(w, r, nil)
			if err == nil {
				c.EnableWriteCompression(opts.Deflate)
			}
		}),
	})
	u.Engine = e
	if err := e.Start(); err != nil {
		return nil, fmt.Errorf("nbio: %w", err)
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	return &nbioHTTP{e, tcp}, err
}

func (s *nbioHTTP) Addr() net.Addr { return s.addr }

func (s *nbioHTTP) Close() error {
	s.engine.Stop()
	return nil
}

func startUDPNbio(Options) (Server, error) {
	logging.SetLevel(logging.LevelNone)
	addr, err := freeUDPPort()
	if err != nil {
		return nil, err
	}
	e := nbio.NewEngine(nbio.Config{
		Network: "udp", Addrs: []string{addr.String()},
		ListenUDP: func(network string, laddr *net.UDPAddr) (*net.UDPConn, error) {
			c, err := net.ListenUDP(network, laddr)
			if err != nil {
				return nil, err
			}
			return c, c.SetReadBuffer(udpBuffer)
		},
	})
	e.OnData(func(c *nbio.Conn, data []byte) { _, _ = c.Write(data) }) // packets get lost
	if err := e.Start(); err != nil {
		return nil, fmt.Errorf("nbio: %w", err)
	}
	return &nbioServer{e, addr}, nil
}
