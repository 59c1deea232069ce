// SPDX-License-Identifier: Apache-2.0

//go:build !getty_debug

package bufpool

import "sync"

// Debug reports whether the pool watches its borrowers.
const Debug = false

type tracked struct{}

// classes are shared by the process on purpose: a buffer that one session gave
// back serves the next one, whichever endpoint that belongs to.
var classes [maxShift - minShift + 1]sync.Pool

// Get lends a buffer with len(B) == 0 and cap(B) >= n. Contents beyond the
// length are arbitrary.
func Get(n int) *Buf {
	if n > MaxSize {
		return &Buf{B: make([]byte, 0, n)}
	}
	c := ceilClass(n)
	if b, ok := classes[c].Get().(*Buf); ok {
		return b
	}
	return &Buf{B: make([]byte, 0, MinSize<<c)}
}

// Put takes b back. The caller must not touch b or any slice of it afterwards.
// A nil b is ignored.
func Put(b *Buf) {
	if b == nil || cap(b.B) < MinSize || cap(b.B) >= 2*MaxSize {
		return
	}
	b.B = b.B[:0]
	classes[floorClass(cap(b.B))].Put(b)
}

// Poison marks bytes that nobody may look at any more, if Debug.
func Poison([]byte) {}

// Verify reports what borrowers did wrong, if Debug.
func Verify() error { return nil }
