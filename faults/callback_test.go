// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/getty-net/getty"
)

// caught is a callback that waits for act before it misbehaves, once.
type caught struct {
	begun chan *session
	act   func()
	acted chan struct{}
}

// tryCallback has one callback of a side misbehave, once. While it waits to do so
// the other sessions go on.
func (b *bed) tryCallback() {
	b.Helper()
	c := &caught{begun: make(chan *session, 1), acted: make(chan struct{})}
	c.act = sync.OnceFunc(func() { close(c.acted) })
	defer c.act()
	hook := func(s *session) error {
		c.begun <- s
		<-c.acted
		return b.misbehave(s)
	}
	release := func() {}
	if b.moment == beforeOpen {
		b.from.once(onOpen, hook)
		connected := make(chan struct{})
		go func() {
			defer close(connected)
			b.connect()
		}()
		defer func() { c.act(); <-connected }()
		b.knock(c.begun)
	} else {
		release = b.callBack(c, hook)
	}
	mine := <-c.begun
	before := b.others(mine)
	b.pass(before...)
	if b.fault == blocks {
		<-time.After(4 * b.unit) // beyond IdleTimeout and the keepalive
		b.pass(before...)
	}
	c.act()
	b.wantOwn(mine)
	release()
	if b.transport == udp {
		b.expire()
	}
	b.settled(b.client, b.server)
	b.wantOthers(mine, before)
}

// knock sends packets until the server's callback has begun: it has no session
// before it gets one.
func (b *bed) knock(begun chan *session) {
	b.Helper()
	if b.transport != udp {
		return
	}
	b.until("messages pass", b.limit()+patience, func() bool {
		for _, s := range b.client.sessions() {
			b.client.send(s, 40)
		}
		return b.eventually(b.unit/5, func() bool { return len(begun) > 0 })
	})
}

// callBack has a callback of an open session of from call hook.
func (b *bed) callBack(c *caught, hook func(*session) error) (release func()) {
	b.Helper()
	b.open()
	mine, theirs := b.pair()
	b.others(mine)
	release = func() {}
	if b.moment == full {
		release = b.fill(mine, theirs)
	}
	if b.moment == closing {
		b.from.once(onClose, hook)
		_ = mine.Close()
		return release
	}
	b.from.once(onMessage, hook)
	b.to.send(theirs, 40)
	b.until("the callback begins", patience, func() bool { return len(c.begun) > 0 })
	if b.moment == midFrame {
		part := make(chan struct{})
		b.road.trip(otherThan(b.side), b.part(), func() { close(part); <-c.acted })
		b.to.send(theirs, 700)
		<-part
	}
	return release
}

func (b *bed) misbehave(s *session) error {
	switch b.fault {
	case panics:
		panic("a fault")
	case closesOwn:
		return s.Close()
	case closesOther:
		for _, o := range b.from.sessions() {
			if o != s {
				_ = o.Close()
			}
		}
	}
	return nil
}

// wantOwn waits for the end of the session whose callback misbehaved, if it ends.
func (b *bed) wantOwn(mine *session) {
	b.Helper()
	ends := b.moment == closing || b.fault == panics || b.fault == closesOwn
	if !ends {
		return
	}
	b.until("the session ends", b.limit()+patience, func() bool { ok, _ := b.from.over(mine); return ok })
	_, cause := b.from.over(mine)
	if b.fault == panics && b.moment != closing {
		if !errors.As(cause, new(*getty.PanicError)) {
			b.Errorf("the panic ended the session with %v", cause)
		}
	} else if cause != nil {
		b.Errorf("the session was closed and ended with %v", cause)
	}
}

// wantOthers looks at the sessions beside, and at the one of the callback unless
// that ends it.
func (b *bed) wantOthers(mine *session, before []*session) {
	b.Helper()
	over, cause := b.from.over(mine)
	if over && b.moment != closing && b.fault != panics && b.fault != closesOwn {
		b.Errorf("the session of the callback ended with %v", cause)
	}
	if b.fault != closesOther {
		b.wantOpen(b.from, before...)
		b.pass(before...)
		return
	}
	b.until("the other sessions end", b.limit()+patience, func() bool {
		return !slices.ContainsFunc(before, func(s *session) bool { ok, _ := b.from.over(s); return !ok })
	})
	for _, s := range before {
		if _, cause := b.from.over(s); cause != nil {
			b.Errorf("another session was closed and ended with %v", cause)
		}
	}
}

// wantOpen fails if one of these sessions of a party has ended.
func (b *bed) wantOpen(p *party, ss ...*session) {
	b.Helper()
	for _, s := range ss {
		if over, cause := p.over(s); over {
			b.Errorf("a session of the %s that is not concerned ended with %v", p.name, cause)
		}
	}
}
