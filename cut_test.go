// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/gettytest"
)

// lateClose is a conn whose Close takes a while, as that of a goroutine does
// which loses its processor at the wrong moment.
type lateClose struct {
	net.Conn
	closed *atomic.Bool
}

func (c lateClose) Close() error {
	time.Sleep(time.Second)
	c.closed.Store(true)
	return c.Conn.Close()
}

// TestG1SocketIsClosedBeforeOnClose has the reader meet the end of the stream
// by itself while another goroutine is closing the conn.
func TestG1SocketIsClosedBeforeOnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := gettytest.NewNetwork(gettytest.Faults{})
		l, err := n.Listen("")
		must(t, err)
		var closed atomic.Bool
		r := record()
		r.onClose = func(*session, error) {
			if !closed.Load() {
				t.Error("OnClose runs and the socket is open")
			}
		}
		c := pooled(t, "tcp://"+l.Addr().String(), r, getty.ClientConfig{
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := n.Dial(ctx, network, address)
				return lateClose{nc, &closed}, err
			},
		})
		c.Reconnect = func(*session, error) bool { return false }
		must(t, c.Connect(t.Context()))
		peer, err := l.Accept()
		must(t, err)
		go func() { must(t, c.Close()) }()
		time.Sleep(time.Second / 2) // virtual: Close is at its work
		must(t, peer.Close())
		synctest.Wait()
		must(t, c.Shutdown(t.Context()))
		if n.Conns() != 0 {
			t.Error("Shutdown has returned and the socket is open")
		}
		must(t, l.Close())
	})
}
