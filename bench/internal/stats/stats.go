// SPDX-License-Identifier: Apache-2.0

// Package stats has the little statistics that the comparisons need, free of any assumption about distributions:
// single runs of one binary vary by a third on a shared machine, and not symmetrically.
package stats

import (
	"math"
	"slices"
)

// Confidence is the level of the intervals.
const Confidence = 0.95

// Margin is the ratio above which getty is said to fall short, if the whole interval lies above it.
const Margin = 1.03

// Median returns the median of xs, NaN if there are none.
func Median(xs []float64) float64 { return Quantile(xs, 0.5) }

// Quantile returns the q-quantile of xs, interpolated between neighbours, NaN if there are none.
func Quantile(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(xs))
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// Interval is a confidence interval for a median.
type Interval struct {
	Low, High float64
	// Coverage is the probability that it holds the true median. Under six samples no interval of order
	// statistics reaches Confidence; the widest one is returned then, with the coverage that it has.
	Coverage float64
}

// MedianInterval returns the interval between the k-th smallest and the k-th largest sample, with the largest k
// whose coverage is still at least Confidence. The number of samples below the true median is binomial(n, 1/2)
// whatever the distribution is, so nothing else is assumed.
func MedianInterval(xs []float64) Interval {
	n := len(xs)
	if n == 0 {
		return Interval{math.NaN(), math.NaN(), 0}
	}
	s := slices.Sorted(slices.Values(xs))
	k, coverage := 1, 1-2*binomialTail(n, 0)
	for k < (n+1)/2 {
		next := 1 - 2*binomialTail(n, k)
		if next < Confidence {
			break
		}
		k, coverage = k+1, next
	}
	return Interval{s[k-1], s[n-k], coverage}
}

// binomialTail returns P(X <= k) for X binomial(n, 1/2).
func binomialTail(n, k int) float64 {
	p := math.Pow(0.5, float64(n))
	sum := 0.0
	for i := 0; i <= k; i++ {
		sum += p
		p = p * float64(n-i) / float64(i+1)
	}
	return sum
}

// Comparison is the outcome of interleaved pairs of runs: the ratios subject/peer, where more is worse.
type Comparison struct {
	Pairs  int
	Median float64
	Interval
}

// Compare pairs the i-th run of the subject with the i-th run of the peer.
func Compare(subject, peer []float64) Comparison {
	n := min(len(subject), len(peer))
	ratios := make([]float64, n)
	for i := range n {
		ratios[i] = subject[i] / peer[i]
	}
	return Comparison{Pairs: n, Median: Median(ratios), Interval: MedianInterval(ratios)}
}

// Verdict says in words what the comparison shows.
func (c Comparison) Verdict() string {
	switch {
	case c.Coverage < Confidence:
		return "too few pairs"
	case c.Low > Margin:
		return "falls short"
	case c.High < 1:
		return "better"
	default:
		return "on par"
	}
}
