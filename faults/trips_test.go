// SPDX-License-Identifier: Apache-2.0

package faults_test

import "sync"

// trips are what is to happen when so many bytes of a side have passed.
type trips struct {
	lock sync.Mutex
	at   map[string]*tripwire
}

type tripwire struct {
	left int
	f    func()
}

func (t *trips) trip(side string, n int, f func()) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.at == nil {
		t.at = make(map[string]*tripwire)
	}
	t.at[side] = &tripwire{n, f}
}

// conn comes with each new conn.
func (t *trips) conn(side string) {
	t.lock.Lock()
	w := t.at[side]
	if w == nil || w.left > 0 {
		t.lock.Unlock()
		return
	}
	delete(t.at, side)
	t.lock.Unlock()
	w.f()
}

// pass hands on p, with a stop where there is one.
func (t *trips) pass(side string, p []byte, on func([]byte) error) error {
	t.lock.Lock()
	w := t.at[side]
	if w == nil || w.left > len(p) {
		if w != nil {
			w.left -= len(p)
		}
		t.lock.Unlock()
		return on(p)
	}
	delete(t.at, side)
	t.lock.Unlock()
	if err := on(p[:w.left]); err != nil {
		return err
	}
	w.f()
	return on(p[w.left:])
}
