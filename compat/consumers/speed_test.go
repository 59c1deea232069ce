// SPDX-License-Identifier: Apache-2.0

package consumers_test

import (
	"fmt"
	"slices"
	"testing"
)

// pairs is how often each side runs, in turn with the other. With 31 the tenth smallest and the tenth largest ratio are
// an interval that holds the true median in 97 of 100 cases, whatever the distribution is.
const pairs, outside = 31, 9

// BenchmarkDubboGo compares the calls of restartedProvider on the drop-in and on the original, at the version of the
// flag or at v1.5.0. It takes eight minutes, and says nothing on a machine that does other things:
//
//	go test -run '^$' -bench DubboGo -benchtime 1x -timeout 1h
func BenchmarkDubboGo(b *testing.B) {
	version := *original
	if version == "" {
		version = "v1.5.0"
	}
	dropIn := dubboGo.checkOut(b, "").build(b, "dubbo-echo")
	theirs := dubboGo.checkOut(b, version).build(b, "dubbo-echo")
	for b.Loop() {
		var ours, original []restarted
		for i := range pairs {
			if i%2 == 0 {
				ours = append(ours, restartedProvider(b, dropIn))
			}
			original = append(original, restartedProvider(b, theirs))
			if i%2 == 1 {
				ours = append(ours, restartedProvider(b, dropIn))
			}
		}
		compare(b, "calls/s-before", ours, original, func(r restarted) float64 { return r.before.Rate })
		compare(b, "calls/s-after", ours, original, func(r restarted) float64 { return r.afterwards.Rate })
		compare(b, "cpu-s", ours, original, func(r restarted) float64 { return r.cpu.Seconds() })
	}
}

// compare prints the medians of both sides, and reports that of the ratios, with its interval.
func compare(b *testing.B, what string, ours, original []restarted, of func(restarted) float64) {
	var a, o, ratios []float64
	for i := range ours {
		a, o = append(a, of(ours[i])), append(o, of(original[i]))
		ratios = append(ratios, a[i]/o[i])
	}
	for _, s := range [][]float64{a, o, ratios} {
		slices.Sort(s)
	}
	b.ReportMetric(ratios[pairs/2], what+"-ratio")
	fmt.Printf("%-14s drop-in %8.1f, original %8.1f, ratio %.3f [%.3f, %.3f]\n",
		what, a[pairs/2], o[pairs/2], ratios[pairs/2], ratios[outside], ratios[pairs-1-outside])
}
