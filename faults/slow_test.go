// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"time"

	"github.com/getty-net/getty"
)

// trySlow has a road that is slow all the time, or on udp loses packets.
func (b *bed) trySlow() {
	b.Helper()
	hello := func(p *party) {
		p.once(onOpen, func(s *session) error {
			p.send(s, 40)
			p.send(s, 700)
			return nil
		})
	}
	b.road.do(b.fault, b.side)
	if b.moment == beforeOpen {
		hello(b.server)
		hello(b.client)
	}
	b.connect()
	b.until("the server's session opens", b.limit()+patience, func() bool {
		for _, s := range b.client.sessions() {
			b.client.send(s, 40) // on udp it may be lost
		}
		return b.eventually(b.unit/5, func() bool { return len(b.server.sessions()) > 0 })
	})
	b.calm()
	here, there := b.from.sessions(), b.to.sessions()
	if len(here) == 0 || len(there) == 0 {
		b.Fatalf("a session has ended\nserver: %s\nclient: %s", b.server, b.client)
	}
	mine, theirs := here[0], there[0]
	switch b.moment {
	case midFrame:
		b.tryParts(mine, theirs)
	case between:
		for range 5 {
			b.from.send(mine, 40)
			b.to.send(theirs, 40)
			b.calm()
		}
	case full:
		b.fill(mine, theirs)()
	case closing:
		release := b.fill(mine, theirs)
		_ = mine.Close()
		release()
	}
	b.calm()
	b.wantNothingLost(mine)
}

// tryParts sends what arrives in parts. In virtual time the first message takes
// longer to arrive than its receiver may be idle: progress is not idleness.
func (b *bed) tryParts(mine, theirs *session) {
	b.Helper()
	if m, ok := b.road.(*memory); ok && b.fault == oneByte {
		m.drip(b.to.name, time.Millisecond)
		begun := time.Now()
		b.from.send(mine, 5000)
		b.settled(b.from)
		if took := time.Since(begun); took < 2*b.unit {
			b.Errorf("the message took %v, no longer than the limit", took)
		}
		m.drip(b.to.name, 0)
	}
	for _, size := range []int{700, 5000} {
		b.from.send(mine, size)
		b.to.send(theirs, size)
	}
}

// crowded tells whether packets may find no room, in a queue of getty's or of the
// kernel's, which does not count them.
func (b *bed) crowded() bool { return b.moment == full || b.moment == closing }

// calm waits until nothing is in flight, where packets are lost for so long as it
// may take.
func (b *bed) calm() {
	b.Helper()
	if b.transport == udp && (b.fault != latency || b.crowded()) {
		b.expire()
		return
	}
	b.settled(b.from, b.to)
}

// wantNothingLost looks at what was accepted: all of it was delivered, but for
// packets that the road has dropped, and what a Close cut off of the other side.
func (b *bed) wantNothingLost(mine *session) {
	b.Helper()
	if b.transport == udp {
		b.wantFewLost()
		return
	}
	if b.moment == closing {
		b.until("the other side's end", b.limit()+patience, func() bool { _, n := b.to.counts(); return n > 0 })
		b.from.book.mu.Lock()
		defer b.from.book.mu.Unlock()
		for i, e := range b.from.book.sent {
			b.to.book.mu.Lock()
			n := b.to.book.got[uint64(i+1)]
			b.to.book.mu.Unlock()
			if e.on == mine && e.fate == lost && n != 1 {
				b.Errorf("message %d was accepted before Close and delivered %d times", i+1, n)
			}
		}
		return
	}
	for _, p := range []*party{b.server, b.client} {
		if n := p.book.count(lost, failed); n > 0 {
			b.Errorf("%d messages of the %s are lost", n, p.name)
		}
		b.wantNoEnd(p)
	}
}

func (b *bed) wantNoEnd(p *party) {
	b.Helper()
	if _, closed := p.counts(); closed > 0 {
		b.Errorf("a session of the %s ended", p.name)
	}
}

// postman is a road that knows what became of packets.
type postman interface {
	copies(side string) map[uint64]int
	dropped(side string) int
}

// wantFewLost looks at messages whose packets have come: only a full queue of
// getty may have dropped them, and has counted that.
func (b *bed) wantFewLost() {
	b.Helper()
	m, ok := b.road.(postman)
	if !ok || b.crowded() && b.layer != inVirtual { // a kernel keeps no such books
		return
	}
	stats := map[*party]func() getty.Stats{b.server: b.srv.Stats, b.client: b.cl.Stats}
	for p, other := range map[*party]*party{b.server: b.client, b.client: b.server} {
		var missing, full int
		if !b.eventually(patience, func() bool {
			missing, full = p.book.missing(other.book, m.copies(p.name)), int(stats[other]().UDP.Dropped)
			return missing <= full
		}) {
			b.Errorf("%d messages of the %s came and were not delivered, %d of them counted by a full queue", missing, p.name, full)
		}
		if n := m.dropped(p.name); b.fault == latency && n > 0 {
			b.Errorf("the road dropped %d packets", n)
		}
		if b.moment != closing {
			b.wantNoEnd(p)
		}
	}
}
