// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// TestSpaces tries cells across network namespaces.
func TestSpaces(t *testing.T) {
	s := newSpaces(t, inSpaces)
	eachReal(t, inSpaces, func(t *testing.T, c cell) {
		run(t, c, inSpaces, realUnit, realSlop, s.road(t))
	})
}

// TestABigWriteIntoAPartition has a side send without a pause when the packets
// begin to vanish: both sides find out within the limit of the keepalive. On a
// silent partition it is the keepalive that finds out, for no other limit is
// reached. What passes one-way are the probes to the side that sends, and then
// the end of the conn, in front of which it flushes: its write timeout ends that.
func TestABigWriteIntoAPartition(t *testing.T) {
	s := newSpaces(t, inSpaces)
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
	b.adjust = func(cfg *getty.Config) {
		cfg.MessageTimeout = patience
		if c.fault == silent {
			cfg.WriteTimeout = patience
		}
	}
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
	wantKeepalive := func(p *party, s *session) {
		if _, cause := p.over(s); !errors.Is(cause, getty.ErrKeepalive) {
			t.Errorf("the session of the %s ended with %v", p.name, cause)
		}
	}
	b.wantEnd(b.from, mine, since)
	b.wantEnd(b.to, theirs, since)
	<-ended
	wantKeepalive(b.to, theirs)
	if c.fault == silent {
		wantKeepalive(b.from, mine)
	}
	b.recovers()
}

// TestUnacknowledgedBytes is about what neither a keepalive nor the write
// timeout sees: bytes that the kernel has taken, on a session without a
// keepalive. TCP_USER_TIMEOUT sees them.
func TestUnacknowledgedBytes(t *testing.T) {
	s := newSpaces(t, inSpaces)
	t.Run("", func(t *testing.T) {
		for _, limit := range []time.Duration{0, time.Second} {
			t.Run(limit.String(), func(t *testing.T) {
				t.Parallel()
				tryUnacknowledged(t, s.road(t), limit)
			})
		}
	})
}

func tryUnacknowledged(t *testing.T, r *routed, limit time.Duration) {
	c := cell{"tcp", silent, "server", between}
	b := newBed(t, c, inSpaces, realUnit, realSlop, r, seedOf(t, c))
	b.quiet = true
	b.adjust = func(cfg *getty.Config) { cfg.UserTimeout = limit }
	b.start()
	defer b.finish()
	b.open()
	mine, theirs := b.pair()
	r.do(silent, c.side)
	since := time.Now()
	b.from.send(mine, 40)
	if limit > 0 {
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
