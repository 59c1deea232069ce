// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// books are the accounts of a transport. A message is sent once and settled
// once: acknowledged, refused by Send, lost with its session, whose OnClose
// tells, or on udp expired. Whatever is settled otherwise is odd.
type books struct {
	sent, acked, refused, lost, expired, late, odd atomic.Int64

	retired atomic.Int64 // sessions that heard the server's farewell and were replaced
	udp     bool
	fates   fates        // of udp
	calm    atomic.Int64 // in Unix ns: since when no restart is under way; 0: one is
}

// missing is what is not settled: in flight, or in the end vanished.
func (b *books) missing() int64 {
	return b.sent.Load() - b.acked.Load() - b.refused.Load() - b.lost.Load() - b.expired.Load()
}

func (b *books) check(name string) error {
	var errs []error
	if m := b.missing(); m != 0 {
		errs = append(errs, fmt.Errorf("%s: %d messages are unaccounted for", name, m))
	}
	if n := b.odd.Load(); n != 0 {
		errs = append(errs, fmt.Errorf("%s: %d messages were settled twice or never sent", name, n))
	}
	if b.acked.Load() == 0 {
		errs = append(errs, fmt.Errorf("%s: nothing was acknowledged", name))
	}
	return errors.Join(errs...)
}

// page is the account of one session.
type page struct {
	books *books

	panicNext atomic.Bool // the next acknowledgement makes the callback panic

	mu      sync.Mutex
	closed  bool
	leaving bool      // the server has said farewell
	hurt    time.Time // the last fault
	open    map[uint64]*entry
	gone    map[uint64]time.Time // expired, and when they were sent: they may still be acknowledged
}

// entry is a message that is not settled. Until Send has returned nil it is
// Send's to settle, also when OnClose comes meanwhile.
type entry struct {
	at       time.Time
	stalled  bool // or sent behind one that is: its round trip says nothing
	accepted bool
}

func newPage(b *books) *page {
	return &page{books: b, open: make(map[uint64]*entry), gone: make(map[uint64]time.Time)}
}

// send accounts for a call of Send.
func (p *page) send(id uint64, stalled bool, send func() error) error {
	p.books.sent.Add(1)
	p.mu.Lock()
	for _, other := range p.open {
		stalled = stalled || other.stalled
	}
	p.open[id] = &entry{at: time.Now(), stalled: stalled}
	p.mu.Unlock()
	err := send()
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.open[id]
	switch {
	case e == nil && err != nil:
		p.books.odd.Add(1) // refused, and yet acknowledged
	case e == nil:
	case err != nil:
		p.settle(id, &p.books.refused)
	case p.closed:
		p.settle(id, &p.books.lost)
	default:
		e.accepted = true
	}
	return err
}

// ack settles a message and returns its round trip, if that says something.
func (p *page) ack(id uint64) (rtt time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, gone := p.open[id], !p.gone[id].IsZero()
	if p.books.udp && !p.closed && (e != nil || gone) {
		p.books.fates.ack(id)
	}
	switch {
	case gone && !p.closed:
		delete(p.gone, id)
		p.books.late.Add(1)
		return 0, false
	case e == nil || p.closed:
		p.books.odd.Add(1)
		return 0, false
	}
	stalled := false
	for _, other := range p.open { // in front of a stalled message it may have waited as well
		stalled = stalled || other.stalled
	}
	p.settle(id, &p.books.acked)
	return time.Since(e.at), !stalled
}

// expire settles what has waited for too long.
func (p *page) expire(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, e := range p.open {
		if !e.accepted || now.Sub(e.at) < ackWithin {
			continue
		}
		since := p.books.calm.Load()
		calm := since != 0 && e.at.UnixNano() > since && e.at.Sub(p.hurt) > ackWithin
		p.gone[id] = e.at
		p.books.fates.expire(id, calm)
		p.settle(id, &p.books.expired)
	}
}

// fault tells that one is about to happen to the session.
func (p *page) fault() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hurt = time.Now()
	p.excuse()
}

// excuse explains what might have been late, were it not for what happens now.
// It is called with mu held.
func (p *page) excuse() {
	for id, at := range p.gone {
		if time.Since(at) < lateWithin {
			p.books.fates.excuse(id)
		}
	}
}

// leave comes with the server's farewell.
func (p *page) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = true
	p.books.retired.Add(1)
}

// left reports whether the session has heard the farewell, and all the answers.
func (p *page) left() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving && len(p.open) == 0
}

// close comes with OnClose.
func (p *page) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.excuse()
	for id, e := range p.open {
		if e.accepted {
			p.settle(id, &p.books.lost)
		}
	}
}

// settle is called with mu held.
func (p *page) settle(id uint64, as *atomic.Int64) {
	delete(p.open, id)
	as.Add(1)
}
