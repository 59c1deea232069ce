// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"math/rand/v2"
	"sync"
)

// faucet is what a relay does to the bytes of each side.
type faucet struct {
	mu   sync.Mutex
	cond sync.Cond
	held map[string]bool   // nothing passes
	gone map[string]bool   // the end has passed already
	slow map[string]string // the fault
	rng  *rand.Rand
	dice map[string]*rand.Rand // of the packets of each side
}

func newFaucet(seed uint64) *faucet {
	f := &faucet{
		held: make(map[string]bool), gone: make(map[string]bool), slow: make(map[string]string),
		rng:  rand.New(rand.NewPCG(seed, 1)),
		dice: map[string]*rand.Rand{"server": rand.New(rand.NewPCG(seed, 2)), "client": rand.New(rand.NewPCG(seed, 3))},
	}
	f.cond.L = &f.mu
	return f
}

func (f *faucet) hold(sides ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range sides {
		f.held[s] = true
	}
}

func (f *faucet) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.held)
	clear(f.gone)
	f.cond.Broadcast()
}

// wait returns when the bytes of a side may pass, and what slows them.
func (f *faucet) wait(side string) (slow string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.held[side] {
		f.cond.Wait()
	}
	return f.slow[side]
}

func (f *faucet) upTo(n int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rng.Int64N(n)
}
