// SPDX-License-Identifier: Apache-2.0

package contender

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// enterWebSocket makes the two starters of a WebSocket library that serves any listener, and returns when that is closed.
func enterWebSocket(name string, serve func(l net.Listener, opts Options) error) {
	starters["ws-"+name] = func(opts Options) (Server, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		go func() { _ = serve(l, opts) }()
		return l, nil
	}
	starters["wss-"+name] = func(opts Options) (Server, error) {
		cfg, err := serverTLS()
		if err != nil {
			return nil, err
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
		if err != nil {
			return nil, err
		}
		go func() { _ = serve(l, opts) }()
		return l, nil
	}
}

// serveHTTP runs an http.Server, whose handler upgrades.
func serveHTTP(l net.Listener, handler http.HandlerFunc) error {
	return (&http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}).Serve(l)
}

// readers are buffers for messages, shared by the connections of a server.
var readers = sync.Pool{New: func() any { return new(bytes.Buffer) }}
