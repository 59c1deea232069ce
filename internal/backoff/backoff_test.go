// SPDX-License-Identifier: Apache-2.0

package backoff_test

import (
	"math"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/internal/backoff"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCeiling(t *testing.T) {
	const ms = time.Millisecond
	const longest = time.Duration(math.MaxInt64)
	for _, tc := range []struct {
		name   string
		n      int
		lo, hi time.Duration
		want   time.Duration
	}{
		{"none before the first failure", 0, 100 * ms, time.Second, 0},
		{"none for a negative count", -3, 100 * ms, time.Second, 0},
		{"first", 1, 100 * ms, time.Second, 100 * ms},
		{"second", 2, 100 * ms, time.Second, 200 * ms},
		{"fourth", 4, 100 * ms, time.Second, 800 * ms},
		{"cut at the highest", 5, 100 * ms, time.Second, time.Second},
		{"stays there", 1000, 100 * ms, time.Second, time.Second},
		{"lowest is highest", 1, time.Second, time.Second, time.Second},
		{"lowest above highest", 1, 2 * time.Second, time.Second, time.Second},
		{"a count without end", math.MaxInt, ms, longest, longest},
		{"doubling would overflow", 3, longest/2 + 1, longest, longest},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := backoff.Ceiling(tc.n, tc.lo, tc.hi); got != tc.want {
				t.Fatalf("Ceiling(%d, %v, %v) is %v, want %v", tc.n, tc.lo, tc.hi, got, tc.want)
			}
		})
	}
}

func TestDelayIsDrawnFromTheWholeUpperHalf(t *testing.T) {
	const lo, hi = 8 * time.Nanosecond, time.Hour
	for n := 1; n <= 4; n++ {
		ceiling := backoff.Ceiling(n, lo, hi)
		seen := make(map[time.Duration]bool)
		for range 20_000 {
			seen[backoff.Delay(n, lo, hi)] = true
		}
		for d := ceiling / 2; d <= ceiling; d++ {
			if !seen[d] {
				t.Errorf("Delay(%d) never gave %v", n, d)
			}
			delete(seen, d)
		}
		if len(seen) > 0 {
			t.Errorf("Delay(%d) left the upper half of %v: %v", n, ceiling, seen)
		}
	}
}

func TestDelayOfExtremes(t *testing.T) {
	const longest = time.Duration(math.MaxInt64)
	if d := backoff.Delay(0, time.Second, time.Minute); d != 0 {
		t.Errorf("pause before the first failure is %v", d)
	}
	if d := backoff.Delay(1, 1, 1); d != 1 {
		t.Errorf("a pause of 1 ns became %v", d)
	}
	for range 1000 {
		if d := backoff.Delay(math.MaxInt, 1, longest); d < longest/2 {
			t.Fatalf("the longest pause became %v", d)
		}
	}
}
