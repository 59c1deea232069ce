// SPDX-License-Identifier: Apache-2.0

//go:build !single || getty

package contender

import (
	"crypto/tls"
	"errors"
	"net"
	"syscall"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

func init() {
	starters["getty"] = startGetty
	starters["tls-getty"] = startTLSGetty
	starters["ws-getty"] = startWSGetty
	starters["wss-getty"] = startWSSGetty
	starters["udp-getty"] = startUDPGetty
}

// gettyServer is getty with its defaults.
type gettyServer struct{ *getty.Server[[]byte] }

// gettyEcho answers with Send, which merges the answers to what arrived together.
type gettyEcho struct{ getty.NopEvents[[]byte] }

func (gettyEcho) OnMessage(s *getty.Session[[]byte], body []byte) error { return s.Send(body) }

func startGetty(Options) (Server, error) {
	return listenGetty("tcp://127.0.0.1:0", codec.LengthField{}, getty.Config{})
}

func startWSGetty(opts Options) (Server, error) {
	return listenGetty("ws://127.0.0.1:0", codec.Raw{}, webSocketOf(opts, nil))
}

func startWSSGetty(opts Options) (Server, error) {
	cfg, err := serverTLS()
	if err != nil {
		return nil, err
	}
	return listenGetty("wss://127.0.0.1:0", codec.Raw{}, webSocketOf(opts, cfg))
}

func webSocketOf(opts Options, cfg *tls.Config) getty.Config {
	return getty.Config{TLS: cfg, WebSocket: getty.WebSocketConfig{Deflate: getty.Deflate{Enabled: opts.Deflate}}}
}

func startUDPGetty(Options) (Server, error) {
	return listenGetty("udp://127.0.0.1:0", codec.Raw{}, getty.Config{Control: enlarge})
}

// enlarge gives a socket the receive buffer of the other contenders.
func enlarge(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, udpBuffer)
	})
	return errors.Join(err, failed)
}

func startTLSGetty(Options) (Server, error) {
	cfg, err := serverTLS()
	if err != nil {
		return nil, err
	}
	return listenGetty("tls://127.0.0.1:0", codec.LengthField{}, getty.Config{TLS: cfg})
}

func listenGetty(url string, c getty.Codec[[]byte], cfg getty.Config) (Server, error) {
	srv, err := getty.NewServer(c, gettyEcho{}, cfg)
	if err != nil {
		return nil, err
	}
	if err := srv.Listen(url); err != nil {
		return nil, err
	}
	return gettyServer{srv}, nil
}

func (s gettyServer) Addr() net.Addr { return s.Addrs()[0] }
