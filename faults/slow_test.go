// SPDX-License-Identifier: Apache-2.0

package faults_test

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
	for range 3 { // a first packet may be lost
		for _, s := range b.client.sessions() {
			b.client.send(s, 40)
		}
	}
	b.until("the server's session opens", patience, func() bool { return len(b.server.sessions()) > 0 || b.fault == reorder })
	b.calm()
	if len(b.from.sessions()) == 0 || len(b.to.sessions()) == 0 {
		return // all was lost
	}
	mine, theirs := b.from.sessions()[0], b.to.sessions()[0]
	switch b.moment {
	case midFrame:
		for _, size := range []int{700, 5000} {
			b.from.send(mine, size)
			b.to.send(theirs, size)
		}
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

// calm waits until nothing is in flight, or on udp for so long as it may take.
func (b *bed) calm() {
	b.Helper()
	if b.transport == udp {
		b.expire()
		return
	}
	b.settled(b.from, b.to)
}

func (b *bed) wantNothingLost(mine *session) {
	b.Helper()
	if b.transport == udp {
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
		if _, closed := p.counts(); closed > 0 {
			b.Errorf("a session of the %s ended", p.name)
		}
	}
}
