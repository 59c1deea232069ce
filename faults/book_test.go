// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/getty-net/getty"
)

type session = getty.Session[[]byte]

// fate is what became of a message, as its sender knows.
type fate int

const (
	open     fate = iota
	accepted      // Send has returned nil
	acked         // acknowledged
	refused       // Send returned an error, and no byte had left
	failed        // Send returned another error
	lost          // accepted, and OnClose came before the acknowledgement
	expired       // accepted, and on udp never acknowledged
)

// book is what one side has sent and got. Messages are told apart by number.
type book struct {
	udp     bool      // acknowledgements may come late, and on another session
	base    uint64    // the number before that of the first message
	journal io.Writer // if not nil, a copy that outlives the process
	mu      sync.Mutex
	sent    []entry               // message n is at n-1-base
	got     map[uint64]int        // how often each of the other side's was delivered
	by      map[uint64]*session   // on which session
	last    map[*session]uint64   // of a session: its sender's numbers grow
	closed  map[*session]struct{} // whose OnClose came
	wrong   []error
}

type entry struct {
	on   *session
	fate fate
}

func newBook() *book {
	return &book{
		got: make(map[uint64]int), by: make(map[uint64]*session),
		last: make(map[*session]uint64), closed: make(map[*session]struct{}),
	}
}

func (k *book) complain(format string, args ...any) {
	k.wrong = append(k.wrong, fmt.Errorf(format, args...))
	k.note(inWrong, k.wrong[len(k.wrong)-1])
}

// note writes a line to the journal, if there is one, before others can see
// what it is about.
func (k *book) note(what string, about any) {
	if k.journal != nil {
		_, _ = fmt.Fprintln(k.journal, what, about)
	}
}

// begin comes before Send: the acknowledgement may be faster than its return.
func (k *book) begin(s *session) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sent = append(k.sent, entry{on: s})
	id := k.base + uint64(len(k.sent))
	k.note(inBegun, id)
	return id
}

// returned comes after Send, with its error.
func (k *book) returned(id uint64, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := &k.sent[id-1-k.base]
	_, over := k.closed[e.on]
	switch {
	case e.fate == acked && err != nil:
		k.complain("message %d failed (%v), and yet was acknowledged", id, err)
	case e.fate == acked:
	case getty.SafeToRetry(err):
		e.fate = refused
		k.note(inRefused, id)
	case err != nil:
		e.fate = failed
	case over:
		e.fate = lost
	default:
		e.fate = accepted
	}
}

func (k *book) acked(id uint64, s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id <= k.base || id > k.base+uint64(len(k.sent)) {
		k.complain("acknowledgement of message %d, which was never sent", id)
		return
	}
	e := &k.sent[id-1-k.base]
	switch {
	case k.udp && (e.on != s || e.fate == acked || e.fate == lost || e.fate == expired):
		return
	case e.on != s || e.fate != open && e.fate != accepted:
		k.complain("acknowledgement of message %d, which was settled before (%d)", id, e.fate)
		return
	}
	e.fate = acked
	k.note(inAcked, id)
}

func (k *book) delivered(id uint64, s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, over := k.closed[s]; over {
		k.complain("message %d was delivered after OnClose", id)
	}
	if !k.udp && id <= k.last[s] {
		k.complain("message %d was delivered after %d", id, k.last[s])
	}
	k.last[s] = id
	k.got[id]++
	k.by[id] = s
	k.note(inGot, id)
}

// close comes with OnClose: what was accepted and not acknowledged is lost.
func (k *book) close(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, twice := k.closed[s]; twice {
		k.complain("OnClose came twice")
	}
	k.closed[s] = struct{}{}
	for i := range k.sent {
		if e := &k.sent[i]; e.on == s && e.fate == accepted {
			e.fate = lost
		}
	}
}

// expire gives up waiting for acknowledgements.
func (k *book) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.sent {
		if k.sent[i].fate == accepted {
			k.sent[i].fate = expired
		}
	}
}

// is tells whether a message has a fate.
func (k *book) is(id uint64, f fate) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sent[id-1-k.base].fate == f
}

// receiver is the session that got the other side's message, or nil.
func (k *book) receiver(id uint64) *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.by[id]
}

// count is how many messages have one of the fates.
func (k *book) count(fates ...fate) (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.sent {
		for _, f := range fates {
			if e.fate == f {
				n++
			}
		}
	}
	return n
}

// missing is how many accepted messages have not been delivered to the other side,
// of those whose packets have come.
func (k *book) missing(other *book, came map[uint64]int) (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	for i, e := range k.sent {
		if e.fate != refused && e.fate != failed && other.got[k.base+uint64(i+1)] == 0 && came[k.base+uint64(i+1)] > 0 {
			n++
		}
	}
	return n
}

// page is a book as one side hands it to the other for comparison.
type page struct {
	Fates map[uint64]fate // of what it has sent
	Got   map[uint64]int
	Came  map[uint64]int // on udp how often the packet came, if that is known
	Wrong []string
}

func (k *book) page() page {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := page{Fates: make(map[uint64]fate), Got: maps.Clone(k.got)}
	for i, e := range k.sent {
		p.Fates[k.base+uint64(i+1)] = e.fate
	}
	for _, err := range k.wrong {
		p.Wrong = append(p.Wrong, err.Error())
	}
	return p
}

// add has p hold what another process of the same side did.
func (p *page) add(other page) {
	maps.Copy(p.Fates, other.Fates)
	for id, n := range other.Got {
		p.Got[id] += n
	}
	p.Wrong = append(p.Wrong, other.Wrong...)
}

// compare says what is wrong with what sender has sent and receiver has got.
func compare(sender, receiver page) error {
	var errs []error
	for _, w := range sender.Wrong {
		errs = append(errs, errors.New(w))
	}
	for _, id := range slices.Sorted(maps.Keys(sender.Fates)) {
		f, n := sender.Fates[id], receiver.Got[id]
		switch {
		case f == open || f == accepted:
			errs = append(errs, fmt.Errorf("message %d was not settled (%d), delivered %d times", id, f, n))
		case n > max(receiver.Came[id], 1):
			errs = append(errs, fmt.Errorf("message %d was delivered %d times", id, n))
		case f == acked && n == 0:
			errs = append(errs, fmt.Errorf("message %d was acknowledged and not delivered", id))
		case f == refused && n > 0:
			errs = append(errs, fmt.Errorf("message %d was safe to retry, and yet delivered", id))
		}
	}
	for id := range receiver.Got {
		if _, sent := sender.Fates[id]; !sent {
			errs = append(errs, fmt.Errorf("message %d was delivered and never sent", id))
		}
	}
	return errors.Join(errs...)
}
