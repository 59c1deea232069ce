// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ledger is the account of one transport. A message is sent once and then
// settled once: acknowledged, or its sender was told, by an error from Send, by
// OnClose or, on udp, by a timeout. A second settlement of the same message is
// counted in twice.
type ledger struct {
	sent    atomic.Int64 // Send was called
	acked   atomic.Int64 // acknowledged by the peer
	failed  atomic.Int64 // Send returned an error
	lost    atomic.Int64 // accepted, and OnClose came before the acknowledgement
	expired atomic.Int64 // accepted, and not acknowledged in time
	late    atomic.Int64 // of the expired ones: acknowledged after that
	twice   atomic.Int64
}

// sum is what a ledger says at one moment.
type sum struct{ sent, acked, failed, lost, expired, late, twice int64 }

func (l *ledger) sum() sum {
	return sum{
		l.sent.Load(), l.acked.Load(), l.failed.Load(), l.lost.Load(),
		l.expired.Load(), l.late.Load(), l.twice.Load(),
	}
}

// missing is how many messages have not been settled: while sessions run those
// in flight, afterwards those that vanished.
func (s sum) missing() int64 { return s.sent - s.acked - s.failed - s.lost - s.expired }

func (s sum) add(t sum) sum {
	return sum{
		s.sent + t.sent, s.acked + t.acked, s.failed + t.failed, s.lost + t.lost,
		s.expired + t.expired, s.late + t.late, s.twice + t.twice,
	}
}

// check says what is wrong with a sum after the end.
func (s sum) check() error {
	var errs []error
	switch m := s.missing(); {
	case m > 0:
		errs = append(errs, fmt.Errorf("%d messages are missing", m))
	case m < 0:
		errs = append(errs, fmt.Errorf("%d messages were settled that were never sent", -m))
	}
	if s.twice != 0 {
		errs = append(errs, fmt.Errorf("%d messages were counted twice", s.twice))
	}
	return errors.Join(errs...)
}

// account holds the messages of one session that are not settled. OnClose, the
// acknowledgement, the timeout and the return of Send may come for a message in
// any order and at the same time.
type account struct {
	ledger *ledger
	slots  chan struct{} // one for each message that may still be put in flight

	mu     sync.Mutex
	closed bool
	open   map[uint64]*entry
	// expired messages are settled, but an acknowledgement may still come for each.
	expired map[uint64]bool
}

// entry is a message in flight.
type entry struct {
	at time.Time
	// accepted is set when Send has returned nil. Until then the message is
	// Send's to settle, even if OnClose comes meanwhile.
	accepted bool
}

func newAccount(l *ledger, window int) *account {
	a := &account{
		ledger: l, slots: make(chan struct{}, window),
		open: make(map[uint64]*entry, window), expired: make(map[uint64]bool),
	}
	for range window {
		a.slots <- struct{}{}
	}
	return a
}

// begin comes before Send: the acknowledgement may be faster than its return.
// The caller has taken a slot.
func (a *account) begin(id uint64, now time.Time) {
	a.ledger.sent.Add(1)
	a.mu.Lock()
	a.open[id] = &entry{at: now}
	a.mu.Unlock()
}

// returned comes after Send, with its error.
func (a *account) returned(id uint64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, open := a.open[id]
	switch {
	case open && err != nil:
		a.settle(id, &a.ledger.failed)
	case open && a.closed:
		a.settle(id, &a.ledger.lost)
	case open:
		e.accepted = true
	case err != nil: // told of a failure, and yet acknowledged
		a.ledger.twice.Add(1)
	}
}

// acked comes with the acknowledgement and returns the round trip.
func (a *account) acked(id uint64, now time.Time) (rtt time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, open := a.open[id]
	switch {
	case a.expired[id] && !a.closed:
		delete(a.expired, id)
		a.ledger.late.Add(1)
		return 0, false
	case !open, a.closed:
		a.ledger.twice.Add(1)
		return 0, false
	}
	a.settle(id, &a.ledger.acked)
	return now.Sub(e.at), true
}

// expire gives up what was accepted and begun before the given time.
func (a *account) expire(before time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, e := range a.open {
		if e.accepted && e.at.Before(before) {
			a.expired[id] = true
			a.settle(id, &a.ledger.expired)
		}
	}
}

// close comes with OnClose: what was accepted and not acknowledged is lost.
func (a *account) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for id, e := range a.open {
		if e.accepted {
			a.settle(id, &a.ledger.lost)
		}
	}
}

// settle is called with mu held.
func (a *account) settle(id uint64, as *atomic.Int64) {
	delete(a.open, id)
	as.Add(1)
	a.slots <- struct{}{} // has room: the message took one
}
