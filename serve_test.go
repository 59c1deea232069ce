// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// wrapped is a listener whose conns are wrapped.
type wrapped struct {
	net.Listener
	wrap func(nc net.Conn) net.Conn
}

func (w wrapped) Accept() (net.Conn, error) {
	nc, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return w.wrap(nc), nil
}

func wrapListener(t testing.TB, wrap func(nc net.Conn) net.Conn) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return wrapped{l, wrap}
}

// serveOn serves an injected listener until the end of the test.
func serveOn(t testing.TB, l net.Listener, events getty.EventListener[string], cfg getty.Config) *getty.Server[string] {
	t.Helper()
	cfg.TLS = serverTLS()
	srv, err := getty.NewServer(codec.Line{}, events, cfg)
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, getty.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	return srv
}
