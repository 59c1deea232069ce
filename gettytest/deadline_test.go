// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/getty-net/getty/gettytest"
)

var (
	past  = time.Unix(1, 0)
	never time.Time
)

// The parts of TestConformance about deadlines and concurrent closing.

func testReadTimeout(t *testing.T, a, _ *gettytest.Conn) {
	check(t, a.SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, err := a.Read(make([]byte, 1024))
	wantTimeout(t, err)
	if _, err := a.Write(make([]byte, 100)); err != nil {
		t.Errorf("Write under a read deadline: %v", err)
	}
}

func testWriteTimeout(t *testing.T, a, b *gettytest.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.ReadAtLeast(b, make([]byte, 1024), 100) })
	check(t, a.SetWriteDeadline(time.Now().Add(20*time.Millisecond)))
	var err error
	for sent := 0; err == nil; {
		var n int
		n, err = a.Write(make([]byte, 1024))
		if sent += n; sent > 1<<20 {
			t.Fatal("an endless buffer")
		}
	}
	wantTimeout(t, err)
	wg.Wait()
}

func testPastDeadline(t *testing.T, a, b *gettytest.Conn) {
	_, err := b.Write([]byte("unread"))
	check(t, err)
	check(t, a.SetDeadline(past))
	for range 2 {
		n, err := a.Read(make([]byte, 1024))
		if n != 0 {
			t.Errorf("read %d bytes behind the deadline", n)
		}
		wantTimeout(t, err)
		n, err = a.Write(make([]byte, 1024))
		if n != 0 {
			t.Errorf("wrote %d bytes behind the deadline", n)
		}
		wantTimeout(t, err)
	}
	resync(t, a, b, "unread")
}

// resync checks that a conn works again without deadlines.
func resync(t *testing.T, a, b *gettytest.Conn, unread string) {
	t.Helper()
	check(t, a.SetDeadline(never))
	_, err := b.Write([]byte("more"))
	check(t, err)
	p := make([]byte, len(unread)+4)
	if _, err := io.ReadFull(a, p); err != nil || string(p) != unread+"more" {
		t.Errorf("read %q, %v", p, err)
	}
}

// Deadlines that come while calls are waiting.
func testPresentDeadline(t *testing.T, a, b *gettytest.Conn) {
	var wg sync.WaitGroup
	blocked := make(chan struct{}, 2)
	wg.Go(func() {
		blocked <- struct{}{}
		_, err := a.Read(make([]byte, 1024))
		wantTimeout(t, err)
	})
	wg.Go(func() {
		var err error
		for first := true; err == nil; first = false {
			if first {
				blocked <- struct{}{}
			}
			_, err = a.Write(make([]byte, 1024))
		}
		wantTimeout(t, err)
	})
	<-blocked
	<-blocked
	time.Sleep(5 * time.Millisecond)
	check(t, a.SetReadDeadline(past))
	check(t, a.SetWriteDeadline(past))
	wg.Wait()
	resync(t, a, b, "")
}

func testFutureDeadline(t *testing.T, a, b *gettytest.Conn) {
	var wg sync.WaitGroup
	check(t, a.SetDeadline(time.Now().Add(10*time.Millisecond)))
	wg.Go(func() {
		_, err := a.Read(make([]byte, 1024))
		wantTimeout(t, err)
	})
	wg.Go(func() {
		var err error
		for err == nil {
			_, err = a.Write(make([]byte, 1024))
		}
		wantTimeout(t, err)
	})
	wg.Wait()
	resync(t, a, b, "")
}

// A deadline that moves while a call waits counts for that call.
func testExtendedDeadline(t *testing.T, a, b *gettytest.Conn) {
	var wg sync.WaitGroup
	check(t, a.SetReadDeadline(time.Now().Add(30*time.Millisecond)))
	wg.Go(func() {
		p := make([]byte, 4)
		if _, err := io.ReadFull(a, p); err != nil || string(p) != "late" {
			t.Errorf("read %q, %v", p, err)
		}
	})
	time.Sleep(time.Millisecond)
	check(t, a.SetReadDeadline(never))
	time.Sleep(40 * time.Millisecond)
	_, err := b.Write([]byte("late"))
	check(t, err)
	wg.Wait()
}

func testCloseUnblocks(t *testing.T, a, _ *gettytest.Conn) {
	var wg sync.WaitGroup
	for range 2 { // the second writer waits for the first
		wg.Go(func() {
			_, err := a.Read(make([]byte, 1024))
			wantErr(t, "Read", err, net.ErrClosed)
		})
		wg.Go(func() {
			var err error
			for err == nil {
				_, err = a.Write(make([]byte, 100<<10))
			}
			wantErr(t, "Write", err, net.ErrClosed)
		})
	}
	time.Sleep(5 * time.Millisecond)
	check(t, a.Close())
	wg.Wait()
	wantErr(t, "Close", a.Close(), net.ErrClosed)
	wantErr(t, "CloseWrite", a.CloseWrite(), net.ErrClosed)
	wantErr(t, "SetDeadline", a.SetDeadline(past), net.ErrClosed)
}

func testConcurrentMethods(t *testing.T, a, b *gettytest.Conn) {
	var wg sync.WaitGroup
	for i := range 20 {
		c := []*gettytest.Conn{a, b}[i%2]
		p := make([]byte, 128)
		wg.Go(func() { _, _ = c.Read(p) })
		wg.Go(func() { _, _ = c.Write(make([]byte, 128)) })
		wg.Go(func() { _ = c.SetDeadline(time.Now().Add(10 * time.Millisecond)) })
		wg.Go(func() { _ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) })
		wg.Go(func() { _ = c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)) })
		wg.Go(func() { _, _ = c.LocalAddr(), c.RemoteAddr() })
	}
	wg.Wait()
}
