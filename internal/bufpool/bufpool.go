// SPDX-License-Identifier: Apache-2.0

// Package bufpool lends byte buffers in power-of-two sizes.
//
// A buffer has one owner from Get to Put. The pool holds no timers, no
// channels and no goroutine: what is not used is left to the collector.
//
// Under the build tag getty_debug the pool watches its borrowers: see debug.go.
package bufpool

import "math/bits"

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
	tracked // takes no room without the build tag getty_debug
	B       []byte
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
