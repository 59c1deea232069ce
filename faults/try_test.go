// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"fmt"
	"time"
)

var sprintf = fmt.Sprintf

// part is how many bytes of a frame of more than 600 pass before a fault.
func (b *bed) part() int { return 1 + b.rng.IntN(600) }

// hello is how many bytes of a handshake pass.
func (b *bed) hello() int {
	if !b.secure() && !b.webSocket() {
		return 0
	}
	return 1 + b.rng.IntN(80)
}

// tryWire breaks the road, or the process of one side.
func (b *bed) tryWire() {
	b.Helper()
	fault := func() { b.road.do(b.fault, b.side) }
	if b.moment == beforeOpen {
		b.tryBeforeOpen(fault)
		return
	}
	b.open()
	mine, theirs := b.pair()
	since := time.Now()
	switch b.moment {
	case midFrame:
		done := make(chan struct{})
		b.road.trip(b.side, b.part(), func() { defer close(done); fault() })
		b.from.send(mine, 700)
		<-done
		b.from.send(mine, 40)
		b.to.send(theirs, 40)
	case between:
		if b.fault == halfClose {
			b.tryRequests(mine, fault)
			break
		}
		fault()
		since = time.Now()
		for range 3 {
			b.from.send(mine, 40)
			b.to.send(theirs, 40)
		}
	case full, closing:
		release := b.fill(mine, theirs)
		if b.moment == closing {
			_ = mine.Close()
		}
		fault()
		since = time.Now()
		b.eventually(7*b.unit/2, func() bool { ok, _ := b.from.over(mine); return ok })
		if b.fault == silent && b.transport != udp {
			b.wantEnd(b.from, mine, since)
		}
		since = time.Now()
		release()
	}
	if b.fault == noBuffers && b.transport == udp {
		b.wantRefused(mine)
		return
	}
	b.wantEnd(b.from, mine, since)
	b.wantEnd(b.to, theirs, since)
	b.wantAPatience(mine, theirs)
}

// wantRefused looks at packets for which the kernel had no room: the error is
// that of Send if it is Send who writes, otherwise it is counted.
func (b *bed) wantRefused(mine *session) {
	b.Helper()
	b.from.send(mine, 40)
	counted := func() bool { return mine.Stats().UDP.SendErrors+int64(b.from.book.count(refused)) > 0 }
	if !b.eventually(patience, counted) {
		b.Error("no send has failed")
	}
	if ok, cause := b.from.over(mine); ok {
		b.Errorf("the session ended with %v", cause)
	}
}

// tryRequests has a side send and then close its half: all of that is handled,
// and the answers arrive.
func (b *bed) tryRequests(mine *session, fault func()) {
	b.Helper()
	const n = 20
	before := b.from.book.count(acked)
	release := b.to.block()
	for range n {
		b.from.send(mine, 200)
	}
	b.until("all is written", patience, func() bool { return mine.Stats().Pending == 0 })
	fault()
	release()
	b.settled(b.from)
	if got := b.from.book.count(acked) - before; got != n {
		b.Errorf("%d of %d messages in front of the half-close were acknowledged", got, n)
	}
}

// tryBeforeOpen has the first attempt fail, or the first session end.
func (b *bed) tryBeforeOpen(fault func()) {
	b.Helper()
	done := make(chan struct{})
	b.road.trip(b.side, b.hello(), func() { defer close(done); fault() })
	connected := make(chan struct{})
	go func() {
		defer close(connected)
		b.connect()
	}()
	defer func() { b.road.heal(); <-connected }()
	if b.transport == udp { // opens without a packet
		<-connected
		for _, s := range b.client.sessions() {
			b.client.send(s, 40)
		}
	}
	<-done
	since := time.Now()
	b.until("an attempt fails or a session ends", b.limit(), func() bool {
		_, s := b.server.counts()
		_, c := b.client.counts()
		return int64(s)+int64(c)+b.srv.Stats().Failed+b.cl.Stats().DialFailures > 0
	})
	if took := time.Since(since); took > b.limit() {
		b.Errorf("it took %v, more than %v", took, b.limit())
	}
	b.wantCauses(b.server)
	b.wantCauses(b.client)
}
