// SPDX-License-Identifier: Apache-2.0

package gettytest

import (
	"math/rand/v2"
	"time"
)

// link is one direction of a conn: bytes, and the end of them, on their way
// from the end that writes to the end that reads. It is guarded by the wire's mu.
type link struct {
	faults Faults
	dice   *rand.Rand // the writer's

	buf  []byte    // all bytes of segs
	segs []segment // in the order of the stream
	last time.Time // when the newest segment arrives: nothing overtakes it
	sent int64     // bytes ever written
	held bool      // a partition holds back what has not arrived
}

// segment is a part of a stream that arrives as one.
type segment struct {
	kind  kind
	n     int       // bytes of data
	due   time.Time // when it arrives
	stuck bool      // held by a partition: due does not count yet
	cut   bool      // a Read ends behind it
}

// kind is what a segment tells the reader.
type kind uint8

const (
	kindNone  kind = iota
	kindData       // bytes
	kindFin        // no more bytes: CloseWrite
	kindClose      // no more bytes, and none are taken: Close
	kindBreak      // a reset that lets bytes before it be read
	kindReset      // a reset that loses what is unread
)

func (s *segment) arrived(now time.Time) bool { return !s.stuck && !s.due.After(now) }

// push puts a segment behind all others, to arrive at due or with the last of
// them. Nothing follows a reset: it reports whether the segment was taken.
func (l *link) push(s segment) bool {
	end := len(l.segs) - 1
	if end >= 0 && l.segs[end].kind >= kindBreak {
		return false
	}
	s.due = l.arrival(s.due)
	s.stuck = s.stuck || l.held
	l.last = s.due
	if end >= 0 && l.segs[end].joins(&s) {
		l.segs[end].n += s.n
		l.segs[end].cut = s.cut
		return true
	}
	l.segs = append(l.segs, s)
	return true
}

// joins reports whether next arrives together with s.
func (s *segment) joins(next *segment) bool {
	return s.kind == kindData && next.kind == kindData && !s.cut &&
		s.stuck == next.stuck && s.due.Equal(next.due)
}

// arrival is when a segment arrives that could be there at t by itself.
func (l *link) arrival(t time.Time) time.Time {
	if t.Before(l.last) {
		return l.last
	}
	return t
}

// pushData puts a copy of p on its way.
func (l *link) pushData(p []byte, due time.Time, cut bool) {
	if l.push(segment{kind: kindData, n: len(p), due: due, cut: cut}) {
		l.buf = append(l.buf, p...)
	}
}

// room is how many bytes may be written now.
func (l *link) room() int { return max(l.faults.Buffer-len(l.buf), 0) }

// head returns what the next segment is if it has arrived; otherwise kindNone
// and when it will, zero for not known.
func (l *link) head(now time.Time) (kind, time.Time) {
	if len(l.segs) == 0 || l.segs[0].stuck {
		return kindNone, time.Time{}
	}
	if s := &l.segs[0]; !s.arrived(now) {
		return kindNone, s.due
	}
	return l.segs[0].kind, time.Time{}
}

// take moves bytes that have arrived to p.
func (l *link) take(p []byte, now time.Time) int {
	total, cut := 0, false
	for total < len(p) && len(l.segs) > 0 && !cut {
		s := &l.segs[0]
		if s.kind != kindData || !s.arrived(now) {
			break
		}
		n := copy(p[total:], l.buf[:s.n])
		l.buf = l.buf[n:]
		total += n
		if s.n -= n; s.n == 0 {
			cut = s.cut
			l.segs = l.segs[1:]
		}
	}
	return total
}

// ending returns how the end that writes here is known to be gone: kindClose,
// kindBreak, kindReset or kindNone. next is when more about that will be known.
func (l *link) ending(now time.Time) (k kind, next time.Time) {
	for i := len(l.segs) - 1; i >= 0; i-- {
		s := &l.segs[i]
		switch {
		case s.kind <= kindFin:
			return kindNone, next
		case s.arrived(now):
			return s.kind, next
		case !s.stuck:
			next = s.due
		}
	}
	return kindNone, next
}

// unread returns the first data segment that nobody has read, or nil.
func (l *link) unread() *segment {
	if len(l.segs) > 0 && l.segs[0].kind == kindData {
		return &l.segs[0]
	}
	return nil
}

// hold keeps back what has not arrived and what is written from now on.
func (l *link) hold(now time.Time) {
	l.held = true
	for i := range l.segs {
		if s := &l.segs[i]; s.due.After(now) {
			s.stuck = true
		}
	}
}

// heal sends what was held on its way again.
func (l *link) heal(now time.Time) {
	l.held = false
	again := now.Add(l.faults.Latency)
	for i := range l.segs {
		s := &l.segs[i]
		if !s.stuck {
			continue
		}
		s.stuck = false
		if s.due.Before(again) {
			s.due = again
		}
		l.last = s.due
	}
}
