// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"strings"
	"sync"
)

// numbers is a set of the numbers of messages: a bit for each that there can be.
// Those of a pool are given one after the other.
type numbers []uint64

const maxNumber = 1 << 28 // a peer that makes them up is not to cost more memory than that has bits

func (n numbers) has(id uint64) bool { return id>>6 < uint64(len(n)) && n[id>>6]&(1<<(id&63)) != 0 }

func (n *numbers) add(id uint64) {
	for id>>6 >= uint64(len(*n)) {
		*n = append(*n, 0)
	}
	(*n)[id>>6] |= 1 << (id & 63)
}

func (n numbers) remove(id uint64) {
	if n.has(id) {
		n[id>>6] &^= 1 << (id & 63)
	}
}

// count is how many there are that are also in the others.
func (n numbers) count(others ...numbers) (all int) {
	for i, word := range n {
		for _, o := range others {
			if i >= len(o) {
				word = 0
				break
			}
			word &= o[i]
		}
		all += bits.OnesCount64(word)
	}
	return all
}

// ledger is what the server knows of messages by udp, where nothing tells their
// sender what has become of them.
type ledger struct {
	mu    sync.Mutex
	sheet ledgerSheet
}

type ledgerSheet struct {
	Arrived  numbers
	Twice    int // handled again
	Odd      int // with a number that is beyond all
	Answered int // by a Send without an error
}

func (l *ledger) arrive(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case id >= maxNumber:
		l.sheet.Odd++
	case l.sheet.Arrived.has(id):
		l.sheet.Twice++
	default:
		l.sheet.Arrived.add(id)
	}
}

func (l *ledger) answer() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sheet.Answered++
}

// close gives the ledger away, and begins a new one.
func (l *ledger) close() *ledgerSheet {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sheet
	l.sheet = ledgerSheet{}
	return &s
}

// fates are the numbers of messages by udp, as their sender knows them.
type fates struct {
	mu      sync.Mutex
	acked   numbers // late ones as well
	expired numbers // those that were late are none
	calm    numbers // of the expired: there was neither a fault nor a restart that explains it
}

func (f *fates) ack(id uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked.add(id)
	f.expired.remove(id)
	f.calm.remove(id)
}

func (f *fates) expire(id uint64, calm bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expired.add(id)
	if calm {
		f.calm.add(id)
	}
}

func (f *fates) excuse(id uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calm.remove(id)
}

// split is what became of the expired, as both sides know it together.
type split struct {
	answerLost, lost         int // had arrived, or had not
	calmAnswerLost, calmLost int // those of them that nothing explains
	dropped                  int // packets of any process, by the kernel
}

func (s split) String() string {
	return fmt.Sprintf("expired: %d had been handled and their acknowledgement was lost, %d had not; "+
		"without a fault or a restart %d and %d, while the kernel dropped %d packets",
		s.answerLost, s.lost, s.calmAnswerLost, s.calmLost, s.dropped)
}

// compare checks both sides' books against each other.
func (f *fates) compare(s *ledgerSheet, sent uint64, dropped int) (sp split, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sp = split{
		answerLost: f.expired.count(s.Arrived), calmAnswerLost: f.calm.count(s.Arrived), dropped: dropped,
	}
	sp.lost, sp.calmLost = f.expired.count()-sp.answerLost, f.calm.count()-sp.calmAnswerLost
	var errs []error
	wrong := func(n int, what string) {
		if n > 0 {
			errs = append(errs, fmt.Errorf("udp: %d %s", n, what))
		}
	}
	made := s.Odd
	for id := sent + 1; id>>6 < uint64(len(s.Arrived)); id++ {
		if s.Arrived.has(id) {
			made++
		}
	}
	wrong(made, "messages were handled that nobody has sent")
	wrong(s.Twice, "messages were handled twice")
	wrong(f.acked.count()-f.acked.count(s.Arrived), "messages were acknowledged that were not handled")
	wrong(f.acked.count()-s.Answered, "acknowledgements more than were sent")
	wrong(sp.calmLost+sp.calmAnswerLost-dropped, "messages or acknowledgements were lost, and the kernel has not dropped them")
	return sp, errors.Join(errs...)
}

// droppedPackets is how many packets of udp the kernel could not deliver, most
// often because a socket had no room.
func droppedPackets() (n int, err error) {
	text, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case fields[0] != "Udp:":
		case names == nil:
			names = fields
		default:
			for i, name := range names {
				if name == "InErrors" {
					_, err = fmt.Sscan(fields[i], &n)
					return n, err
				}
			}
		}
	}
	return 0, errors.New("the kernel does not tell how many packets it has dropped")
}
