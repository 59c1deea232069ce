// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in classes that are at most an eighth of their
// value wide, which is more than enough for a table that people read.
type histogram struct {
	classes [64 << subBits]atomic.Int64
}

const subBits = 3

func (h *histogram) record(d time.Duration) {
	h.classes[class(uint64(max(d, 1)))].Add(1)
}

// class is the position of the highest bit and the bits below it.
func class(v uint64) int {
	high := bits.Len64(v) - 1
	if high < subBits {
		return int(v) //nolint:gosec // below 8
	}
	return high<<subBits | int(v>>(high-subBits))&(1<<subBits-1) //nolint:gosec // 3 bits
}

// middle is the duration that stands for a class.
func middle(class int) time.Duration {
	high := class >> subBits
	if high < subBits {
		return time.Duration(class)
	}
	width := uint64(1) << (high - subBits)
	low := uint64(1)<<high + uint64(class&(1<<subBits-1))*width
	return time.Duration(low + width/2) //nolint:gosec // the middle of a duration
}

// take returns the median and the 99th percentile of what was recorded since
// the last take; 0 if there was nothing.
func (h *histogram) take() (p50, p99 time.Duration) {
	var counts [len(h.classes)]int64
	var n int64
	for i := range counts {
		counts[i] = h.classes[i].Swap(0)
		n += counts[i]
	}
	if n == 0 {
		return 0, 0
	}
	return quantile(counts[:], (n+1)/2), quantile(counts[:], n-n/100)
}

// quantile is the duration of the one at the given rank, counted from 1.
func quantile(counts []int64, rank int64) time.Duration {
	for i, c := range counts {
		if rank -= c; rank <= 0 {
			return middle(i)
		}
	}
	return 0
}
