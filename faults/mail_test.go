// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"
)

// mail is what a road of packets does to them: it drops them, doubles them, has
// later ones overtake them, or does not take them.
type mail struct {
	trips
	*faucet
	wg    sync.WaitGroup
	mmu   sync.Mutex
	fails map[string]int            // how many packets of a side the kernel refuses
	lost  map[string]int            // how many of a side were dropped
	came  map[string]map[uint64]int // how often the packet of a message of a side arrives
}

func newMail(seed uint64) mail {
	return mail{
		faucet: newFaucet(seed), fails: make(map[string]int), lost: make(map[string]int),
		came: map[string]map[uint64]int{"server": {}, "client": {}},
	}
}

// refuses tells whether the device has no room for the next packet of a side.
func (m *mail) refuses(side string) bool {
	m.mmu.Lock()
	defer m.mmu.Unlock()
	if m.fails[side] == 0 {
		return false
	}
	m.fails[side]--
	return true
}

// count notes that a packet of a side arrives n times.
func (m *mail) count(side string, p []byte, n int) {
	m.mmu.Lock()
	defer m.mmu.Unlock()
	if n < 1 {
		m.lost[side]++
	}
	if len(p) >= 4+headSize && p[4] == data {
		m.came[side][binary.BigEndian.Uint64(p[5:])] += n
	}
}

// copies is how often the packet of each message of a side has arrived.
func (m *mail) copies(side string) map[uint64]int {
	m.mmu.Lock()
	defer m.mmu.Unlock()
	return maps.Clone(m.came[side])
}

// dropped is how many packets of a side were dropped.
func (m *mail) dropped(side string) int {
	m.mmu.Lock()
	defer m.mmu.Unlock()
	return m.lost[side]
}

// handOn passes a packet on, drops it, doubles it, or lets later ones overtake it.
func (m *mail) handOn(side string, p []byte, on func([]byte)) {
	m.mu.Lock()
	held, slow := m.held[side], m.slow[side]
	lot, late := m.dice[side].IntN(10), time.Duration(m.dice[side].Int64N(int64(25*time.Millisecond)))
	m.mu.Unlock()
	switch {
	case held, slow == reorder && lot < 2:
		m.count(side, p, 0)
		return
	case slow == reorder && lot < 3:
		m.count(side, p, 2)
		on(slices.Clone(p))
	default:
		m.count(side, p, 1)
	}
	switch {
	case slow == latency, slow == reorder && lot < 6:
		p = slices.Clone(p)
		m.wg.Go(func() {
			<-time.After(late)
			on(p)
		})
	default:
		on(p)
	}
}

func (m *mail) do(fault, side string) {
	switch fault {
	case silent:
		m.hold("server", "client")
	case oneWay:
		m.hold(side)
	case latency, reorder:
		m.mu.Lock()
		m.slow[side] = fault
		m.mu.Unlock()
	case noBuffers:
		m.mmu.Lock()
		m.fails[side] = 2
		m.mmu.Unlock()
	}
}
