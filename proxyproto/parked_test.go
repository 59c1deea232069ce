// SPDX-License-Identifier: Apache-2.0

//go:build unix && !getty_portable

package proxyproto_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/gettytest"
)

// A session behind a header waits as any other does: with one goroutine, and
// without a buffer.
func TestAnIdleSessionHoldsNoBuffer(t *testing.T) {
	const addresses = 1 << 10 // what is known from a header takes less, a buffer four times as much
	direct := idle(t, nil)
	for name, version := range map[string]byte{"v1": 1, "v2": 2} {
		proxied := idle(t, header(t, version, "192.0.2.7:4711", "198.51.100.1:443"))
		t.Logf("%s: %d bytes for an idle session and its peer, %d without a header", name, proxied, direct)
		if proxied > direct+addresses {
			t.Errorf("%s: an idle session takes %d bytes, one without a header %d", name, proxied, direct)
		}
	}
}

// idle opens sessions that say something and fall silent, and returns the bytes
// of heap and stacks for each. Without a header they are of nobody trusted.
func idle(t *testing.T, header []byte) int64 {
	t.Helper()
	const sessions = 200
	trusted := "127.0.0.0/8"
	if header == nil {
		trusted = "203.0.113.0/24"
	}
	s := serve(t, getty.Config{}, plain, trusted)
	goroutines, memory := runtime.NumGoroutine(), inUse()
	for range sessions {
		nc := s.dial(t)
		_, err := nc.Write(append(header[:len(header):len(header)], "hi\n"...))
		must(t, err)
		echoes(t, nc, "hi")
		receive(t, s.opened, "session")
	}
	// Only under getty_debug is it known who has a buffer.
	until(t, "no buffer is lent", func() bool { return gettytest.VerifyBuffers() == nil })
	until(t, "each session has one goroutine", func() bool { return runtime.NumGoroutine() <= goroutines+sessions })
	return (inUse() - memory) / sessions
}

// until waits until something is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	end := time.Now().Add(limit)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
		<-tick.C
	}
}

func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what a sync.Pool has held goes with the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // far from overflow
}
