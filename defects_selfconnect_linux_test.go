// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// selfDial connects a socket to its own address, as TCP's simultaneous open
// does by chance with a dead port of the ephemeral range. (net.Dialer notices
// it, but not for a source port that was asked for.)
func selfDial() (hook func(ctx context.Context, network, address string) (net.Conn, error), dialed func() []net.Conn) {
	var mu sync.Mutex
	var conns []net.Conn
	hook = func(ctx context.Context, network, address string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		local := net.Addr(net.TCPAddrFromAddrPort(to))
		if network == "udp" {
			local = net.UDPAddrFromAddrPort(to)
		}
		nc, err := (&net.Dialer{LocalAddr: local}).DialContext(ctx, network, address)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			conns = append(conns, nc)
		}
		return nc, err
	}
	return hook, func() []net.Conn {
		mu.Lock()
		defer mu.Unlock()
		return conns
	}
}

func TestD13SelfConnectIsAFailedDial(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		url := tr.url(t)
		if strings.HasPrefix(url, "unix:") {
			t.Skip("a Unix socket is not connected to itself")
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		must(t, l.Close()) // a dead port
		url = strings.Replace(url, "127.0.0.1:0", "127.0.0.1:"+strconv.Itoa(l.Addr().(*net.TCPAddr).Port), 1)
		hook, dialed := selfDial()
		r := record()
		c := pooled(t, url, r, getty.ClientConfig{Dial: hook, MaxFailures: 1})
		err = c.Connect(within(t))
		if !errors.Is(err, getty.ErrGaveUp) || !errors.Is(err, getty.ErrSelfConnect) {
			t.Errorf("Connect: %v, want ErrGaveUp because of ErrSelfConnect", err)
		}
		if st := c.Stats(); st.Dials != 1 || st.DialFailures != 1 || st.Opened != 0 {
			t.Errorf("stats are %+v", st)
		}
		if conns := dialed(); len(conns) != 1 || !errors.Is(conns[0].SetDeadline(time.Time{}), net.ErrClosed) {
			t.Errorf("%d conns, want one that is closed", len(conns))
		}
		wantNoMore(t, r)
	})
}
