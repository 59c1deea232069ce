// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"errors"
	"slices"
	"time"

	"github.com/getty-net/getty"
)

// tryCallback has one callback of a side misbehave, once.
func (b *bed) tryCallback() {
	b.Helper()
	if b.moment == beforeOpen {
		b.from.once(onOpen, b.misbehave)
		b.connect()
		if b.transport == udp { // so that the server has sessions
			b.until("messages pass", b.limit()+patience, func() bool {
				for _, s := range b.client.sessions() {
					b.client.send(s, 40)
				}
				return b.eventually(b.unit/5, func() bool {
					opened, _ := b.from.counts()
					return opened > 0
				})
			})
		}
		return
	}
	b.open()
	mine, theirs := b.pair()
	before := b.from.sessions()
	begun, act := make(chan struct{}), make(chan struct{})
	hook := func(s *session) error {
		close(begun)
		<-act
		return b.misbehave(s)
	}
	release := func() {}
	switch b.moment {
	case midFrame:
		b.from.once(onMessage, hook)
		b.to.send(theirs, 40)
		<-begun
		part := make(chan struct{})
		b.road.trip(b.other(), b.part(), func() { close(part); <-act })
		b.to.send(theirs, 700)
		<-part
	case between:
		b.from.once(onMessage, hook)
		b.to.send(theirs, 40)
	case full:
		release = b.fill(mine)
		b.from.once(onMessage, hook)
		b.to.send(theirs, 40)
	case closing:
		b.from.once(onClose, hook)
		_ = mine.Close()
	}
	<-begun
	close(act)
	b.wantOwn(mine)
	release()
	if b.transport == udp {
		b.expire()
	}
	b.settled(b.client, b.server)
	b.wantOthers(mine, before)
}

func (b *bed) misbehave(s *session) error {
	switch b.fault {
	case panics:
		panic("a fault")
	case blocks:
		<-time.After(6 * b.unit / 5)
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

// wantOthers looks at the sessions beside.
func (b *bed) wantOthers(mine *session, before []*session) {
	b.Helper()
	for _, s := range before {
		over, cause := b.from.over(s)
		switch {
		case s == mine && over && b.moment != closing && b.fault != panics && b.fault != closesOwn:
			b.Errorf("the session of the callback ended with %v", cause)
		case s != mine && over && b.fault != closesOther:
			b.Errorf("another session ended with %v", cause)
		case s != mine && over && cause != nil:
			b.Errorf("another session was closed and ended with %v", cause)
		}
	}
	if b.fault == closesOther {
		b.until("the other sessions end", b.limit()+patience, func() bool {
			return !slices.ContainsFunc(before, func(s *session) bool {
				over, _ := b.from.over(s)
				return s != mine && !over
			})
		})
	}
}
