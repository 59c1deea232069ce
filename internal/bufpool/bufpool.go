// SPDX-License-Identifier: Apache-2.0

// Package bufpool lends byte buffers in power-of-two sizes.
//
// A buffer has one owner from Get to Put. The pool holds no timers, no
// channels and no goroutine: what is not used is left to the collector.
package bufpool

import (
	"math/bits"
	"sync"
)

const (
	minShift = 9  // 512 B, the smallest class
	maxShift = 20 // 1 MiB, the largest class; beyond it buffers are the collector's
)

// MinSize and MaxSize bound the sizes that are kept for reuse, in bytes.
const (
	MinSize = 1 << minShift
	MaxSize = 1 << maxShift
)

// Buf is a lent buffer. B may be resliced, grown by append or replaced by its
// owner; Put files it under the capacity that it has by then.
type Buf struct {
	B []byte
}

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

// ceilClass is the smallest class that holds n bytes.
func ceilClass(n int) int {
	if n <= MinSize {
		return 0
	}
	return bits.Len(uint(n-1)) - minShift
}

// floorClass is the largest class whose every buffer a capacity of n satisfies.
func floorClass(n int) int {
	return bits.Len(uint(n)) - 1 - minShift
}
