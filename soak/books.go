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

	mu     sync.Mutex
	closed bool
	open   map[uint64]*entry
	gone   map[uint64]bool // expired: they may still be acknowledged
}

// entry is a message that is not settled. Until Send has returned nil it is
// Send's to settle, also when OnClose comes meanwhile.
type entry struct {
	at       time.Time
	stalled  bool // its round trip says nothing
	accepted bool
}

func newPage(b *books) *page {
	return &page{books: b, open: make(map[uint64]*entry), gone: make(map[uint64]bool)}
}

// send accounts for a call of Send.
func (p *page) send(id uint64, stalled bool, send func() error) {
	p.books.sent.Add(1)
	p.mu.Lock()
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
}

// ack settles a message and returns its round trip, if that says something.
func (p *page) ack(id uint64) (rtt time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.open[id]
	switch {
	case p.gone[id] && !p.closed:
		delete(p.gone, id)
		p.books.late.Add(1)
		return 0, false
	case e == nil || p.closed:
		p.books.odd.Add(1)
		return 0, false
	}
	stalled := false
	for _, other := range p.open { // behind a stalled message others wait
		stalled = stalled || other.stalled
	}
	p.settle(id, &p.books.acked)
	return time.Since(e.at), !stalled
}

// expire settles what was accepted before.
func (p *page) expire(before time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, e := range p.open {
		if e.accepted && e.at.Before(before) {
			p.gone[id] = true
			p.settle(id, &p.books.expired)
		}
	}
}

// close comes with OnClose.
func (p *page) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
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
