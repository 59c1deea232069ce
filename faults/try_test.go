// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/getty-net/getty"
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
		if b.fault == halfClose && b.layer == inVirtual {
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
		release := b.fill(mine)
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
	b.wantCauses(mine, theirs)
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
}

// wantEnd waits for the end of a session, which must come within the limit of
// the keepalive.
func (b *bed) wantEnd(p *party, s *session, since time.Time) {
	b.Helper()
	b.until(p.name+"'s session ends", b.limit()+patience, func() bool { ok, _ := p.over(s); return ok })
	if took := time.Since(since); took > b.limit() {
		b.Errorf("%s found out after %v, more than %v", p.name, took, b.limit())
	}
}

// wantCauses looks at why both ends of a session ended.
func (b *bed) wantCauses(mine, theirs *session) {
	b.Helper()
	_, first := b.from.over(mine)
	_, second := b.to.over(theirs)
	if b.moment == closing && first != nil {
		b.Errorf("%s closed its session, and the cause is %v", b.from.name, first)
	}
	if b.moment != closing && (first == nil || second == nil) {
		b.Errorf("nobody closed, and the causes are %v and %v", first, second)
	}
	if b.fault == silent && b.moment == between {
		// Toxiproxy lets the end of a conn through, so the other side may learn of it from the first.
		one, other := isTimeout(first), isTimeout(second)
		if !one && !other || b.layer != inToxiproxy && one != other {
			b.Errorf("the partition ended the session with %v and %v", first, second)
		}
	}
	if b.fault == halfClose && b.moment == between && !errors.Is(second, io.EOF) && !errors.Is(second, io.ErrUnexpectedEOF) {
		b.Errorf("the half-close ended the session of the %s with %v", b.to.name, second)
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// tryCodec has the codec of a side lie until a session has ended.
func (b *bed) tryCodec() {
	b.Helper()
	if b.moment == beforeOpen { // a UDP server decodes before it opens
		b.from.lie.Store(b.fault)
		b.connect()
		b.client.send(b.client.sessions()[0], 40)
		b.until("the packet is counted", patience, func() bool {
			st := b.srv.Stats()
			return st.Failed+st.UDP.Spoiled > 0
		})
		b.from.lie.Store("")
		return
	}
	b.open()
	mine, theirs := b.pair()
	release := func() {}
	since := time.Now()
	switch b.moment {
	case midFrame:
		other := b.other()
		b.road.trip(other, b.part(), func() { b.from.lie.Store(b.fault) })
	case between:
		b.from.lie.Store(b.fault)
	case full:
		release = b.fill(mine)
		since = time.Now()
		b.from.lie.Store(b.fault)
	}
	defer release()
	b.to.send(theirs, 700)
	if b.transport == udp {
		b.until("the packet is counted", patience, func() bool { return mine.Stats().UDP.Spoiled > 0 })
		b.from.lie.Store("")
		return
	}
	b.wantEnd(b.from, mine, since)
	b.from.lie.Store("")
	_, cause := b.from.over(mine)
	for _, want := range []error{getty.ErrMessageTimeout, getty.ErrMessageTooLong, getty.ErrIncomplete, getty.ErrCodec} {
		if errors.Is(cause, want) {
			return
		}
	}
	b.Errorf("the session ended with %v", cause)
}

func (b *bed) other() string {
	if b.side == "server" {
		return "client"
	}
	return "server"
}
