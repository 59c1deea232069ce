// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty/gettytest"
)

// connect dials a listener of its own and returns both ends.
func connect(t *testing.T, n *gettytest.Network) (client, server net.Conn) {
	t.Helper()
	l, err := n.Listen("")
	check(t, err)
	client, err = n.Dial(t.Context(), "tcp", l.Addr().String())
	check(t, err)
	server, err = l.Accept()
	check(t, err)
	t.Cleanup(func() { _, _, _ = l.Close(), client.Close(), server.Close() })
	return client, server
}

// newNetwork makes a network of which no conn may be left after the test.
func newNetwork(t *testing.T, f gettytest.Faults) *gettytest.Network {
	n := gettytest.NewNetwork(f)
	t.Cleanup(func() {
		if open := n.Conns(); open != 0 {
			t.Errorf("%d conns are open after the test", open)
		}
	})
	return n
}

func TestListen(t *testing.T) {
	n := newNetwork(t, gettytest.Faults{})
	l, err := n.Listen("mem:1")
	check(t, err)
	_, err = n.Listen("mem:1")
	wantErr(t, "second Listen", err, syscall.EADDRINUSE)
	fresh, err := n.Listen("")
	check(t, err)
	if fresh.Addr() == l.Addr() {
		t.Error("the fresh address is in use")
	}
	check(t, l.Close())
	wantErr(t, "second Close", l.Close(), net.ErrClosed)
	_, err = l.Accept()
	wantErr(t, "Accept after Close", err, net.ErrClosed)
	again, err := n.Listen("mem:1")
	check(t, err)
	check(t, again.Close())
	check(t, fresh.Close())
}

func TestListenerCloseUnblocksAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := newNetwork(t, gettytest.Faults{}).Listen("")
		check(t, err)
		accepted := make(chan error)
		go func() {
			_, err := l.Accept()
			accepted <- err
		}()
		synctest.Wait()
		check(t, l.Close())
		wantErr(t, "Accept", <-accepted, net.ErrClosed)
	})
}

func TestListenerCloseResetsTheBacklog(t *testing.T) {
	n := newNetwork(t, gettytest.Faults{})
	l, err := n.Listen("")
	check(t, err)
	c, err := n.Dial(t.Context(), "tcp", l.Addr().String())
	check(t, err)
	check(t, l.Close())
	_, err = c.Read(make([]byte, 1))
	wantErr(t, "Read", err, syscall.ECONNRESET)
	if n.Conns() != 1 {
		t.Errorf("%d conns, want the one that the client has not closed", n.Conns())
	}
	check(t, c.Close())
	if n.Conns() != 0 {
		t.Errorf("%d conns are left", n.Conns())
	}
}

func TestDialTakesARoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, gettytest.Faults{Latency: time.Minute})
		start := time.Now()
		_, err := n.Dial(t.Context(), "tcp", "mem:1")
		wantErr(t, "Dial without a listener", err, syscall.ECONNREFUSED)
		if d := time.Since(start); d != 2*time.Minute {
			t.Errorf("the refusal took %v", d)
		}
		start = time.Now()
		connect(t, n)
		if d := time.Since(start); d != 2*time.Minute {
			t.Errorf("the dial took %v", d)
		}
		n.SetFaults(gettytest.Faults{})
		start = time.Now()
		connect(t, n)
		if d := time.Since(start); d != 0 {
			t.Errorf("the dial without faults took %v", d)
		}
	})
}

func TestDialHonoursContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, gettytest.Faults{Latency: time.Minute})
		l, err := n.Listen("")
		check(t, err)
		defer l.Close()
		for _, held := range []gettytest.Direction{0, gettytest.ClientToServer, gettytest.ServerToClient, gettytest.BothWays} {
			n.Partition(held)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := n.Dial(ctx, "tcp", l.Addr().String())
			cancel()
			wantErr(t, "Dial", err, context.DeadlineExceeded)
			if ne := net.Error(nil); !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("%v is not a timeout", err)
			}
			n.Heal()
		}
	})
}

func TestDialWaitsForHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, gettytest.Faults{Latency: time.Second})
		time.AfterFunc(time.Second, func() { n.Partition(gettytest.BothWays) })
		time.AfterFunc(time.Hour, n.Heal)
		start := time.Now()
		connect(t, n)
		if d := time.Since(start); d != time.Hour+2*time.Second {
			t.Errorf("the dial took %v", d)
		}
	})
}

func TestPartition(t *testing.T) {
	for _, p := range []struct {
		name     string
		held     gettytest.Direction
		up, down bool // what gets through
	}{
		{"both ways", gettytest.BothWays, false, false},
		{"client to server", gettytest.ClientToServer, false, true},
		{"server to client", gettytest.ServerToClient, true, false},
	} {
		bubble(t, p.name, func(t *testing.T) {
			n := newNetwork(t, gettytest.Faults{Latency: time.Second})
			client, server := connect(t, n)
			for _, w := range []struct {
				from, to net.Conn
				open     bool
			}{{client, server, p.up}, {server, client, p.down}} {
				testPartition(t, n, p.held, w.from, w.to, w.open)
			}
		})
	}
}

// testPartition writes before and during a partition.
func testPartition(t *testing.T, n *gettytest.Network, held gettytest.Direction, from, to net.Conn, open bool) {
	t.Helper()
	write := func(text string) {
		_, err := from.Write([]byte(text))
		check(t, err)
	}
	expect := func(want string, within time.Duration) {
		t.Helper()
		check(t, to.SetReadDeadline(time.Now().Add(within)))
		p := make([]byte, len(want))
		if n, err := io.ReadFull(to, p); err != nil {
			t.Errorf("read %q, %v, want %q", p[:n], err, want)
		}
	}
	write("arrived")
	time.Sleep(time.Second)
	write("on its way")
	time.Sleep(time.Second / 2)
	n.Partition(held)
	write("later")
	time.Sleep(time.Minute)
	expect("arrived", 1)
	if !open {
		check(t, to.SetReadDeadline(time.Now().Add(time.Hour)))
		_, err := to.Read(make([]byte, 1))
		wantTimeout(t, err)
	}
	n.Heal()
	start := time.Now()
	expect("on its waylater", 2*time.Second)
	if d := time.Since(start); !open && d != time.Second {
		t.Errorf("what was held took %v", d)
	}
}

// The end of a stream is held like its bytes.
func TestPartitionHoldsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, gettytest.Faults{})
		client, server := connect(t, n)
		n.Partition(gettytest.ServerToClient)
		check(t, server.Close())
		time.AfterFunc(time.Hour, n.Heal)
		start := time.Now()
		_, err := client.Write([]byte("x")) // the peer seems to live
		check(t, err)
		_, err = client.Read(make([]byte, 1))
		wantErr(t, "Read", err, syscall.ECONNRESET)
		if d := time.Since(start); d != time.Hour {
			t.Errorf("the end took %v", d)
		}
	})
}

func TestNetworkReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, gettytest.Faults{})
		var conns []net.Conn
		for range 3 {
			client, server := connect(t, n)
			conns = append(conns, client, server)
		}
		if n.Conns() != 3 {
			t.Errorf("%d conns, want 3", n.Conns())
		}
		n.Reset()
		for _, c := range conns {
			_, err := c.Read(make([]byte, 1))
			wantErr(t, "Read", err, syscall.ECONNRESET)
			_, err = c.Write(make([]byte, 1))
			wantErr(t, "Write", err, syscall.ECONNRESET)
		}
		connect(t, n)
	})
}
