// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// usage is what a process holds.
type usage struct {
	Goroutines, Descriptors int
	Heap, Resident          int64    // bytes: of live and dead objects, or with gc of live ones; in memory
	Targets                 []string // of the descriptors; only with gc
}

const descriptors = "/proc/self/fd/"

// measure looks at this process. With gc the heap has nothing dead, and what
// pools kept is gone: they give it up at the second collection.
func measure(gc bool) usage {
	u := usage{Goroutines: runtime.NumGoroutine()}
	if gc {
		for range 3 {
			runtime.GC()
		}
	}
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	u.Heap = int64(s[0].Value.Uint64()) //nolint:gosec // bytes
	if entries, err := os.ReadDir(descriptors); err == nil {
		u.Descriptors = len(entries) - 1 // that of the directory
		for _, e := range entries {
			if !gc {
				continue
			}
			target, _ := os.Readlink(descriptors + e.Name())
			if target == os.DevNull { // the race detector opens it now and then
				u.Descriptors--
			}
			u.Targets = append(u.Targets, target)
		}
	}
	if text, err := os.ReadFile("/proc/self/status"); err == nil {
		_, after, _ := strings.Cut(string(text), "VmRSS:")
		var kib int64
		_, _ = fmt.Sscan(after, &kib)
		u.Resident = kib << 10
	}
	return u
}

// prime holds n goroutines at once: what the runtime keeps for good of each that
// there ever was is to be there before anything is measured.
func prime(n int) {
	hold := make(chan struct{})
	var all sync.WaitGroup
	for range n {
		all.Go(func() { <-hold })
	}
	close(hold)
	all.Wait()
}

// histogram counts durations in classes of an eighth of their value.
type histogram struct{ classes [64 << subBits]atomic.Int64 }

const subBits = 3

func (h *histogram) record(d time.Duration) {
	v := uint64(max(d, 1<<subBits)) //nolint:gosec // positive
	high := bits.Len64(v) - 1
	h.classes[high<<subBits|int(v>>(high-subBits))&(1<<subBits-1)].Add(1) //nolint:gosec // 3 bits
}

// take returns how much was recorded since the last take, and two quantiles.
func (h *histogram) take() (n int64, p50, p99 time.Duration) {
	var counts [len(h.classes)]int64
	for i := range counts {
		counts[i] = h.classes[i].Swap(0)
		n += counts[i]
	}
	return n, quantile(&counts, (n+1)/2), quantile(&counts, n-n/100)
}

// quantile is the upper end of the class that has the one at rank.
func quantile(counts *[64 << subBits]int64, rank int64) time.Duration {
	for i, c := range counts {
		if rank -= c; rank <= 0 && c > 0 {
			high := i >> subBits
			return time.Duration(1)<<high + time.Duration(i&(1<<subBits-1)+1)<<(high-subBits)
		}
	}
	return 0
}
