// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getty-net/getty/gettytest"
)

// conformance is what net.Conn promises, after the example of
// golang.org/x/net/nettest.TestConn, with tight buffers where that matters.
var conformance = []struct {
	name string
	test func(t *testing.T, a, b *gettytest.Conn)
}{
	{"basic IO", testBasicIO},
	{"ping-pong", testPingPong},
	{"racy read", testRacyRead},
	{"racy write", testRacyWrite},
	{"writes do not interleave", testAtomicWrites},
	{"read timeout", testReadTimeout},
	{"write timeout", testWriteTimeout},
	{"past deadline", testPastDeadline},
	{"present deadline", testPresentDeadline},
	{"future deadline", testFutureDeadline},
	{"extended deadline", testExtendedDeadline},
	{"close unblocks", testCloseUnblocks},
	{"concurrent methods", testConcurrentMethods},
}

var networks = []struct {
	name   string
	faults gettytest.Faults
}{
	{"perfect", gettytest.Faults{}},
	{"slow", gettytest.Faults{Latency: 5 * time.Millisecond, Jitter: 20 * time.Millisecond}},
	{"in pieces", gettytest.Faults{Seed: 1, MaxRead: 300, MaxWrite: 700, Buffer: 1000}},
	{"all at once", gettytest.Faults{Seed: 2, Latency: time.Millisecond, Jitter: time.Second, MaxRead: 5000, MaxWrite: 3000, Buffer: 4096}},
}

func TestConformance(t *testing.T) {
	for _, n := range networks {
		for _, c := range conformance {
			bubble(t, n.name+"/"+c.name, func(t *testing.T) {
				a, b := pipe(t, n.faults)
				c.test(t, a, b)
			})
		}
	}
}

// Outside a bubble the same must hold, on the clock of the wall.
func TestConformanceInRealTime(t *testing.T) {
	for _, c := range conformance {
		if c.name == "extended deadline" {
			continue // sleeps for milliseconds, which only a bubble measures exactly
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b := pipe(t, gettytest.Faults{Latency: time.Millisecond, Jitter: time.Millisecond})
			c.test(t, a, b)
		})
	}
}

func testBasicIO(t *testing.T, a, b *gettytest.Conn) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 16<<10/16)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { // back what comes, until the end
		if _, err := io.Copy(b, onlyReader{b}); err != nil {
			t.Errorf("echo: %v", err)
		}
		if err := b.CloseWrite(); err != nil {
			t.Errorf("CloseWrite: %v", err)
		}
	})
	wg.Go(func() {
		if n, err := a.Write(want); n != len(want) || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
		if err := a.CloseWrite(); err != nil {
			t.Errorf("CloseWrite: %v", err)
		}
	})
	got, err := io.ReadAll(a)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v, want the %d that were sent", len(got), err, len(want))
	}
}

type onlyReader struct{ io.Reader }

func testPingPong(t *testing.T, a, b *gettytest.Conn) {
	const rounds = 50
	var wg sync.WaitGroup
	defer wg.Wait()
	play := func(c *gettytest.Conn) {
		var ball [8]byte
		for {
			if _, err := io.ReadFull(c, ball[:]); err != nil {
				t.Errorf("read: %v", err)
				return
			}
			ball[0]++
			if ball[0] > rounds+1 {
				return
			}
			if _, err := c.Write(ball[:]); err != nil {
				t.Errorf("write: %v", err)
			}
			if ball[0] > rounds {
				return
			}
		}
	}
	wg.Go(func() { play(a) })
	wg.Go(func() { play(b) })
	_, err := a.Write(make([]byte, 8))
	check(t, err)
}

func testRacyRead(t *testing.T, a, b *gettytest.Conn) {
	var writer, readers sync.WaitGroup
	writer.Go(func() { writeUntilClosed(b) })
	for range 8 {
		readers.Go(func() {
			p := make([]byte, 1024)
			for range 10 {
				_ = a.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
				if _, err := a.Read(p); err != nil {
					wantTimeout(t, err)
				}
			}
		})
	}
	readers.Wait()
	_ = b.Close()
	writer.Wait()
}

func testRacyWrite(t *testing.T, a, b *gettytest.Conn) {
	var reader, writers sync.WaitGroup
	reader.Go(func() { _, _ = io.Copy(io.Discard, b) })
	for range 8 {
		writers.Go(func() {
			p := make([]byte, 1024)
			for range 10 {
				_ = a.SetWriteDeadline(time.Now().Add(2 * time.Millisecond))
				if _, err := a.Write(p); err != nil {
					wantTimeout(t, err)
				}
			}
		})
	}
	writers.Wait()
	_ = a.Close()
	reader.Wait()
}

func testAtomicWrites(t *testing.T, a, b *gettytest.Conn) {
	const writers, size, each = 4, 500, 5
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for range each {
				if _, err := a.Write(bytes.Repeat([]byte{byte('a' + i)}, size)); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	p := make([]byte, size)
	for range writers * each {
		_, err := io.ReadFull(b, p)
		check(t, err)
		if n := bytes.Count(p, p[:1]); n != size {
			t.Fatalf("a write of %q was interrupted after %d bytes", p[0], n)
		}
	}
	wg.Wait()
}

func writeUntilClosed(c *gettytest.Conn) {
	p := make([]byte, 1024)
	for {
		if _, err := c.Write(p); err != nil {
			return
		}
	}
}

// wantTimeout checks that err is a net.Error of a timeout, as os and net know it.
func wantTimeout(t *testing.T, err error) {
	t.Helper()
	var ne net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("error is %v, want a timeout", err)
	}
}

// wantErr checks the error of a call and that it is one of package net.
func wantErr(t *testing.T, what string, err error, want ...error) {
	t.Helper()
	var op *net.OpError
	for _, w := range want {
		if errors.Is(err, w) && (errors.Is(w, io.EOF) || errors.As(err, &op)) {
			return
		}
	}
	t.Errorf("%s: error is %v, want %v in a net.OpError", what, err, want)
}

// goneErrs are the errors of writing to a peer that is gone.
var goneErrs = []error{syscall.EPIPE, syscall.ECONNRESET}
