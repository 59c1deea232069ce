// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty/gettytest"
)

func TestCloseWrite(t *testing.T) {
	client, server := pipe(t, gettytest.Faults{})
	_, err := client.Write([]byte("request"))
	check(t, err)
	check(t, client.CloseWrite())
	check(t, client.CloseWrite())
	_, err = client.Write([]byte("x"))
	wantErr(t, "Write after CloseWrite", err, syscall.EPIPE)

	got, err := io.ReadAll(server)
	if string(got) != "request" || err != nil {
		t.Errorf("the peer read %q, %v", got, err)
	}
	_, err = server.Write([]byte("response"))
	check(t, err)
	check(t, server.Close())
	got, err = io.ReadAll(client)
	if string(got) != "response" || err != nil {
		t.Errorf("read %q, %v behind CloseWrite", got, err)
	}
}

func TestCloseDeliversWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipe(t, gettytest.Faults{Latency: time.Second})
		_, err := client.Write([]byte("last words"))
		check(t, err)
		check(t, client.Close())
		_, err = client.Read(make([]byte, 1))
		wantErr(t, "Read here", err, net.ErrClosed)
		_, err = client.Write([]byte("x"))
		wantErr(t, "Write here", err, net.ErrClosed)

		got, err := io.ReadAll(server)
		if string(got) != "last words" || err != nil {
			t.Errorf("the peer read %q, %v", got, err)
		}
		_, err = server.Write([]byte("x"))
		wantErr(t, "the peer's Write", err, syscall.EPIPE)
	})
}

// Bytes nobody will read reset the peer: those that were there, those on their
// way, and those written before the peer knows.
func TestCloseWithUnreadInput(t *testing.T) {
	for _, before := range []struct {
		name  string
		close func(client, server *gettytest.Conn)
	}{
		{"arrived", func(client, server *gettytest.Conn) {
			_, _ = client.Write([]byte("unread"))
			time.Sleep(time.Second)
			_, _ = server.Write([]byte("lost"))
			_ = server.Close()
		}},
		{"on their way", func(client, server *gettytest.Conn) {
			_, _ = client.Write([]byte("unread"))
			_ = server.Close()
		}},
		{"later", func(client, server *gettytest.Conn) {
			_ = server.Close()
			if _, err := client.Write([]byte("unread")); err != nil {
				t.Errorf("Write before the close is known: %v", err)
			}
		}},
	} {
		bubble(t, before.name, func(t *testing.T) {
			client, server := pipe(t, gettytest.Faults{Latency: time.Second})
			before.close(client, server)
			time.Sleep(2 * time.Second)
			_, err := client.Read(make([]byte, 10))
			wantErr(t, "the peer's Read", err, syscall.ECONNRESET)
			_, err = client.Write([]byte("x"))
			wantErr(t, "the peer's Write", err, syscall.ECONNRESET)
		})
	}
}

func TestCloseUnblocksThePeersWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipe(t, gettytest.Faults{Latency: time.Second, Buffer: 10})
		start := time.Now()
		go func() {
			time.Sleep(time.Hour)
			_ = server.Close()
		}()
		_, err := client.Write(make([]byte, 100))
		wantErr(t, "Write", err, goneErrs...)
		if d := time.Since(start); d != time.Hour+time.Second {
			t.Errorf("the writer knew after %v", d)
		}
	})
}

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipe(t, gettytest.Faults{Latency: time.Second, Buffer: 10})
		reading := make(chan error)
		go func() {
			_, err := client.Read(make([]byte, 1))
			reading <- err
		}()
		writing := make(chan error)
		go func() {
			_, err := client.Write(make([]byte, 100))
			writing <- err
		}()
		synctest.Wait()
		server.Reset()
		wantErr(t, "waiting Read", <-reading, syscall.ECONNRESET)
		wantErr(t, "waiting Write", <-writing, syscall.ECONNRESET)
		for _, c := range []*gettytest.Conn{client, server} {
			_, err := c.Read(make([]byte, 1))
			wantErr(t, "Read", err, syscall.ECONNRESET)
			_, err = c.Write(make([]byte, 1))
			wantErr(t, "Write", err, syscall.ECONNRESET)
			wantErr(t, "CloseWrite", c.CloseWrite(), syscall.ENOTCONN)
			check(t, c.Close())
		}
	})
}

func TestEmptyReadsAndWrites(t *testing.T) {
	client, _ := pipe(t, gettytest.Faults{})
	if n, err := client.Read(nil); n != 0 || err != nil {
		t.Errorf("Read = %d, %v", n, err)
	}
	if n, err := client.Write(nil); n != 0 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
}

func TestAddresses(t *testing.T) {
	client, server := pipe(t, gettytest.Faults{})
	if client.LocalAddr() != server.RemoteAddr() || client.RemoteAddr() != server.LocalAddr() {
		t.Errorf("client %v→%v, server %v→%v",
			client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
	}
	if n := client.LocalAddr().Network(); n != "mem" {
		t.Errorf("the network is %q", n)
	}
}
