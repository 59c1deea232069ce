// SPDX-License-Identifier: Apache-2.0

package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/bench/internal/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		name string
		xs   []float64
		want float64
	}{
		{"one", []float64{3}, 3},
		{"odd, unsorted", []float64{9, 1, 5}, 5},
		{"even", []float64{4, 1, 2, 3}, 2.5},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := stats.Median(test.xs); got != test.want {
				t.Errorf("Median = %v, want %v", got, test.want)
			}
		})
	}
	if !math.IsNaN(stats.Median(nil)) {
		t.Error("Median of nothing is a number")
	}
}

// The ranks are those of the published tables for the sign test.
func TestMedianIntervalRanks(t *testing.T) {
	for _, test := range []struct {
		n         int
		low, high float64
		coverage  float64
	}{
		{3, 1, 3, 0.75},
		{5, 1, 5, 0.9375},
		{6, 1, 6, 0.96875},
		{10, 2, 9, 0.9785},
		{15, 4, 12, 0.9648},
		{20, 6, 15, 0.9586},
		{31, 10, 22, 0.9706},
	} {
		xs := make([]float64, test.n)
		for i := range xs {
			xs[i] = float64(test.n - i)
		}
		got := stats.MedianInterval(xs)
		if got.Low != test.low || got.High != test.high || math.Abs(got.Coverage-test.coverage) > 1e-4 {
			t.Errorf("n=%d: got %+v, want %v..%v at %v", test.n, got, test.low, test.high, test.coverage)
		}
	}
}

func TestMedianIntervalCoversSkewedMedian(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const runs = 4000
	hit := 0
	for range runs {
		xs := make([]float64, 15)
		for i := range xs {
			xs[i] = rng.ExpFloat64()
		}
		if iv := stats.MedianInterval(xs); iv.Low <= math.Ln2 && math.Ln2 <= iv.High {
			hit++
		}
	}
	if got := float64(hit) / runs; got < 0.95 || got > 0.98 {
		t.Errorf("covered the median in %.3f of the runs, want about 0.965", got)
	}
}

func TestVerdict(t *testing.T) {
	series := func(from, step float64) []float64 {
		xs := make([]float64, 15)
		for i := range xs {
			xs[i] = from + step*float64(i)
		}
		return xs
	}
	ones := series(1, 0)
	for _, test := range []struct {
		name    string
		subject []float64
		want    string
	}{
		{"wholly above the margin", series(1.1, 0.001), "falls short"},
		{"above one, within the margin", series(1.02, 0.0001), "on par"},
		{"straddles the margin", series(0.95, 0.02), "on par"},
		{"wholly below one", series(0.8, 0.01), "better"},
		{"three pairs", series(2, 0)[:3], "too few pairs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := stats.Compare(test.subject, ones).Verdict(); got != test.want {
				t.Errorf("Verdict = %q, want %q", got, test.want)
			}
		})
	}
}
