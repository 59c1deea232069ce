// SPDX-License-Identifier: Apache-2.0

//go:build !single || getty

package contender

import (
	"crypto/tls"
	"net"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

func init() {
	starters["getty"] = startGetty
	starters["tls-getty"] = startTLSGetty
}

// gettyServer is getty with its defaults.
type gettyServer struct{ *getty.Server[[]byte] }

// gettyEcho answers with Send, which merges the answers to what arrived together.
type gettyEcho struct{ getty.NopEvents[[]byte] }

func (gettyEcho) OnMessage(s *getty.Session[[]byte], body []byte) error { return s.Send(body) }

func startGetty(Options) (Server, error) { return listenGetty("tcp://127.0.0.1:0", nil) }

func startTLSGetty(Options) (Server, error) {
	cfg, err := serverTLS()
	if err != nil {
		return nil, err
	}
	return listenGetty("tls://127.0.0.1:0", cfg)
}

func listenGetty(url string, cfg *tls.Config) (Server, error) {
	srv, err := getty.NewServer(codec.LengthField{}, gettyEcho{}, getty.Config{TLS: cfg})
	if err != nil {
		return nil, err
	}
	if err := srv.Listen(url); err != nil {
		return nil, err
	}
	return gettyServer{srv}, nil
}

func (s gettyServer) Addr() net.Addr { return s.Addrs()[0] }
