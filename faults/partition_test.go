// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSpaces tries cells across network namespaces.
func TestSpaces(t *testing.T) {
	s := newSpaces(t)
	eachReal(t, inSpaces, func(t *testing.T, c cell) {
		run(t, c, inSpaces, realUnit, realSlop, s.road(t))
	})
}

// TestABigWriteIntoAPartition has a side send without a pause when the packets
// begin to vanish: both sides find out within the limit of the keepalive.
func TestABigWriteIntoAPartition(t *testing.T) {
	s := newSpaces(t)
	t.Run("", func(t *testing.T) {
		for _, tr := range []string{"tcp", "tls", "ws", "wss"} {
			for _, side := range sides {
				for _, fault := range []string{silent, oneWay} {
					c := cell{tr, fault, side, midFrame}
					t.Run(c.String(), func(t *testing.T) {
						t.Parallel()
						tryBigWrite(t, c, s.road(t))
					})
				}
			}
		}
	})
}

func tryBigWrite(t *testing.T, c cell, r road) {
	b := newBed(t, c, inSpaces, realUnit, realSlop, r, seedOf(t, c))
	b.start()
	defer b.finish()
	b.open()
	mine, theirs := b.pair()
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; mine.Context().Err() == nil; n++ {
			if n == 50 {
				close(begun)
			}
			b.from.send(mine, 60_000)
		}
	}()
	<-begun
	r.do(c.fault, c.side)
	since := time.Now()
	b.wantEnd(b.from, mine, since)
	b.wantEnd(b.to, theirs, since)
	<-ended
	b.recovers()
}

// TestUnacknowledgedBytes is about what neither a keepalive nor the write
// timeout sees: bytes that the kernel has taken, on a session without a
// keepalive. TCP_USER_TIMEOUT, by Config.Control, sees them.
func TestUnacknowledgedBytes(t *testing.T) {
	s := newSpaces(t)
	t.Run("", func(t *testing.T) {
		for _, timeout := range []time.Duration{0, time.Second} {
			t.Run(timeout.String(), func(t *testing.T) {
				t.Parallel()
				tryUnacknowledged(t, s.road(t), timeout)
			})
		}
	})
}

func tryUnacknowledged(t *testing.T, r *routed, timeout time.Duration) {
	c := cell{"tcp", silent, "client", between}
	b := newBed(t, c, inSpaces, realUnit, realSlop, r, seedOf(t, c))
	b.quiet = true
	b.start()
	defer b.finish()
	b.open()
	mine, theirs := b.pair()
	if timeout > 0 {
		rc, err := mine.NetConn().(syscall.Conn).SyscallConn()
		b.must(err)
		b.must(rc.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
		}))
		b.must(err)
	}
	r.do(silent, c.side)
	since := time.Now()
	b.from.send(mine, 40)
	if timeout > 0 {
		b.wantEnd(b.from, mine, since)
		if _, cause := b.from.over(mine); !errors.Is(cause, syscall.ETIMEDOUT) {
			t.Errorf("the session ended with %v", cause)
		}
	} else if b.eventually(5*b.unit, func() bool { ok, _ := b.from.over(mine); return ok }) {
		t.Error("it has ended: say so in docs/faults.md")
	}
	b.road.heal()
	// Who sends nothing does not learn of it: that is what a keepalive is for.
	_ = theirs.Close()
	b.recovers()
}
