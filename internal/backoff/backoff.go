// SPDX-License-Identifier: Apache-2.0

// Package backoff computes jittered exponential pauses.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Ceiling is the longest pause after the n-th consecutive failure: lo after the
// first, doubled by each further one, at most hi. It is 0 for n < 1.
func Ceiling(n int, lo, hi time.Duration) time.Duration {
	if n < 1 {
		return 0
	}
	d := lo
	for i := 1; i < n && d < hi; i++ {
		d = min(2*d, hi)
		if d < lo { // overflow
			return hi
		}
	}
	return min(d, hi)
}

// Delay draws a pause evenly from the upper half of Ceiling.
func Delay(n int, lo, hi time.Duration) time.Duration {
	d := Ceiling(n, lo, hi)
	if d < 2 {
		return d
	}
	return d/2 + rand.N(d-d/2+1) //nolint:gosec // it is no secret
}
