// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"errors"
	"io"
	"slices"
	"syscall"
	"time"

	"github.com/getty-net/getty"
)

// The causes that a session may end with, by what it has noticed.
var (
	local = []error{nil} // it was closed here
	cut   = []error{io.ErrUnexpectedEOF}
	ends  = []error{io.EOF, io.ErrUnexpectedEOF}
	rsts  = []error{syscall.ECONNRESET, syscall.EPIPE}
	// ETIMEDOUT is TCP's own.
	limits = []error{getty.ErrKeepalive, getty.ErrWriteTimeout, getty.ErrMessageTimeout, syscall.ETIMEDOUT}
)

// causes are those that a session of a party may end with.
func (b *bed) causes(p *party) []error {
	switch {
	case b.is(codecFaults):
		if b.moment == closing { // what is left is no whole message
			return slices.Concat(lied, cut)
		}
		return lied
	case b.moment == closing && p == b.from && !b.is(childFaults):
		return local
	case p == b.from:
		return b.causesHere(p)
	}
	return b.causesThere(p)
}

// causesHere are those of the side where the fault is.
func (b *bed) causesHere(p *party) []error {
	busy := b.moment == full || b.moment == midFrame // a write may not get ahead
	switch b.fault {
	case reset:
		return b.causesOfReset(p)
	case halfClose:
		// A WebSocket's other side answers that there was no close frame.
		answered := slices.Concat(ends, rsts, []error{closeCode(getty.CloseProtocolError)})
		if b.moment == full {
			return append(answered, limits...)
		}
		return answered
	case silent:
		return b.causesOfSilence()
	case oneWay:
		switch {
		case b.transport == udp: // there is no end to hear of
			return limits
		case busy:
			return slices.Concat(ends, rsts, limits, []error{closeCode(getty.ClosePolicyViolation)})
		case b.layer == inSpaces || b.layer == inIptables: // TCP sends again what it has no answer to, and nothing new
			return slices.Concat(ends, rsts, limits)
		}
		return slices.Concat(ends, rsts)
	case noBuffers:
		if busy {
			return append(slices.Clone(limits), syscall.ENOBUFS)
		}
		return []error{syscall.ENOBUFS}
	}
	return nil
}

// causesThere are those of the other side.
func (b *bed) causesThere(p *party) []error {
	switch b.fault {
	case reset:
		return b.causesOfReset(p)
	case halfClose:
		switch b.moment {
		case midFrame:
			return cut
		case between:
			return ends
		}
		return slices.Concat(ends, rsts)
	case silent:
		return b.causesOfSilence()
	case oneWay:
		return limits
	case killed:
		if b.transport == udp {
			return limits
		}
		return slices.Concat(ends, rsts)
	case stopped:
		if b.moment == closing { // before it was stopped
			return slices.Concat(limits, ends, rsts)
		}
		return limits
	case clockJump: // no session ends of it: the cell goes on to a close or a silence
		if b.moment == closing {
			return append(slices.Clone(limits), io.EOF)
		}
		return limits
	case noBuffers:
		return slices.Concat(ends, rsts)
	}
	return nil
}

// causesOfReset: a unix socket has no reset but for what nobody has read. Others
// tell of it once: if a write was told, a read may see the end of the stream and
// be the first to end the session.
func (b *bed) causesOfReset(p *party) []error {
	if b.transport == "unix" || b.layer != inVirtual && (b.moment != between && b.moment != beforeOpen || p.book.count(refused, failed) > 0) {
		return slices.Concat(rsts, ends)
	}
	return rsts
}

// causesOfSilence: toxiproxy lets the end of a conn through, so one side may
// learn of it from the other.
func (b *bed) causesOfSilence() []error {
	if b.layer == inToxiproxy {
		return slices.Concat(limits, ends, rsts)
	}
	return limits
}

// wantEnd waits for the end of a session, which must come within the limit of
// the keepalive, and with a cause that fits the fault.
func (b *bed) wantEnd(p *party, s *session, since time.Time) {
	b.Helper()
	limit := b.limit()
	if b.fault == oneWay && b.transport == udp && p == b.from {
		limit += 3 * b.unit // it hears the other side until that has ended
	}
	b.until(p.name+"'s session ends", limit+patience, func() bool { ok, _ := p.over(s); return ok })
	p.mu.Lock()
	end := p.ended[s]
	p.mu.Unlock()
	if took := end.at.Sub(since); took > limit {
		b.Errorf("%s found out after %v, more than %v", p.name, took, limit)
	}
	if !isOneOf(end.cause, b.causes(p)) {
		b.Errorf("the session of the %s ended with %v, want one of %v", p.name, end.cause, b.causes(p))
	}
}

// wantCauses looks at all sessions of a party that have ended.
func (b *bed) wantCauses(p *party) {
	b.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	want := b.causes(p)
	for _, cause := range p.causes {
		if !isOneOf(cause, want) {
			b.Errorf("a session of the %s ended with %v, want one of %v", p.name, cause, want)
		}
	}
}

// closeCode stands for a *getty.CloseError with that code.
type closeCode int

func (c closeCode) Error() string { return sprintf("close code %d", int(c)) }

func isOneOf(err error, causes []error) bool {
	return slices.ContainsFunc(causes, func(want error) bool {
		var got *getty.CloseError
		if code := closeCode(0); errors.As(want, &code) {
			return errors.As(err, &got) && got.Code == int(code)
		}
		return errors.Is(err, want)
	})
}

// wantAPatience fails if neither end of a session noticed a silence by itself.
func (b *bed) wantAPatience(mine, theirs *session) {
	b.Helper()
	_, first := b.from.over(mine)
	_, second := b.to.over(theirs)
	if b.fault == silent && b.moment != closing && !isOneOf(first, limits) && !isOneOf(second, limits) {
		b.Errorf("the partition ended the session with %v and %v", first, second)
	}
}
