// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"time"

	"github.com/getty-net/getty"
)

// tryCodec has the codec of one session of a side lie until that has ended, or
// on udp has spoiled a packet. The other session goes on.
func (b *bed) tryCodec() {
	b.Helper()
	if b.moment == beforeOpen { // a UDP server decodes before it opens
		b.tryFirstPacket()
		return
	}
	b.open()
	mine, theirs := b.pair()
	others := b.others(mine)
	release := func() {}
	defer func() { release() }()
	since, had := time.Now(), mine.Stats().BytesIn
	switch b.moment {
	case midFrame:
		b.road.trip(otherThan(b.side), b.part(), func() { b.from.lie(mine, b.fault) })
		b.to.send(theirs, 700)
	case between:
		b.from.lie(mine, b.fault)
		b.flood(mine, theirs)
	case full:
		release = b.fill(mine, theirs)
		since = time.Now()
		b.from.lie(mine, b.fault)
		b.to.send(theirs, 700)
	case closing:
		b.closeBehind(mine, theirs)
		since = time.Now()
	}
	b.pass(others...)
	if b.transport == udp {
		b.until("the packet is counted", patience, func() bool { return mine.Stats().UDP.Spoiled > 0 })
		b.from.lie(mine, "")
	} else {
		b.wantEnd(b.from, mine, since)
		b.wantLittle(mine, had)
	}
	b.wantOpen(b.from, others...)
	b.pass(others...)
}

// batch is how much is read, at most, before a codec is asked.
const batch = 512 << 10

// wantLittle looks at how much a session that never had enough has kept: what had
// come when it asked its codec for the last time. What comes later is discarded.
func (b *bed) wantLittle(mine *session, had int64) {
	b.Helper()
	b.from.mu.Lock()
	kept := b.from.took[mine] - had
	b.from.mu.Unlock()
	if kept > maxMessage+batch {
		b.Errorf("%d bytes are kept, and messages have %d at most", kept, maxMessage)
	}
}

// flood has theirs send without an end, as long as there is one: mine, whose
// codec never has enough, must not take all of it.
func (b *bed) flood(mine, theirs *session) {
	b.Helper()
	if b.transport == udp {
		b.to.send(theirs, 700)
		return
	}
	b.until("the flood ends the session", b.limit()+patience, func() bool {
		for b.to.trySend(theirs, 8000) == nil {
			continue
		}
		over, _ := b.from.over(mine)
		return over
	})
}

// closeBehind has theirs close right behind messages. They and the end of the
// stream arrive while mine handles one in front of them.
func (b *bed) closeBehind(mine, theirs *session) {
	b.Helper()
	release := b.from.block(mine)
	defer release()
	id := b.to.send(theirs, 40)
	b.until("a message is handled", patience, func() bool { return b.from.book.receiver(id) != nil })
	for range 3 {
		b.to.send(theirs, 700)
	}
	_ = theirs.Close()
	b.from.lie(mine, b.fault)
}

// tryFirstPacket has the codec lie for peers that are new to a UDP server.
func (b *bed) tryFirstPacket() {
	b.Helper()
	b.connect()
	known, unknown := b.client.sessions()[0], b.client.sessions()[1]
	theirs := b.answered(b.client, known)
	b.from.lie(nil, b.fault)
	b.client.send(unknown, 40)
	b.until("the packet is counted", patience, func() bool {
		st := b.srv.Stats()
		return st.Failed+st.UDP.Spoiled > 0
	})
	b.wantOpen(b.from, theirs)
	b.pass(theirs)
	b.from.lie(nil, "")
}

// lied are the causes of a session whose codec has lied.
var lied = []error{getty.ErrMessageTimeout, getty.ErrMessageTooLong, getty.ErrIncomplete, getty.ErrCodec}
