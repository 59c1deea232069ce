// SPDX-License-Identifier: Apache-2.0

package getty

import "testing"

// yields plays reads, one in each interval, and returns which of them yielded.
func (y *yielder) yields(reads int, interval moment, found bool) (at []int) {
	for i := range reads {
		if y.due(moment(i) * interval) {
			at = append(at, i)
			y.paid(found)
		}
	}
	return at
}

// Where nothing comes meanwhile, yields soon are rare.
func TestYielderGivesUp(t *testing.T) {
	var y yielder
	at := y.yields(1000, 0, false)
	skipped := 1
	for i := range at[1:] {
		if got := at[i+1] - at[i] - 1; got != skipped {
			t.Fatalf("%d reads between yields %d and %d, want %d", got, i, i+1, skipped)
		}
		skipped = min(2*skipped+1, 63)
	}
	y.skip = 0
	if !y.due(0) {
		t.Fatal("it gave up for good")
	}
	y.paid(true)
	if !y.due(0) {
		t.Error("a yield that paid changed nothing")
	}
}

// Who always finds something sleeps all the same, or the runtime never looks
// after those that do.
func TestYielderSleeps(t *testing.T) {
	var y yielder
	if at := y.yields(100, maxYield/10+1, true); len(at) != 10 {
		t.Errorf("reads %v yielded, want those of 2 ms", at)
	}
	y.slept = 50 * maxYield
	if !y.due(y.slept) {
		t.Error("it does not yield after sleep")
	}
	y.slept = ^moment(0) // its clock begins anew each hour
	if !y.due(y.slept + maxYield/2) {
		t.Error("it does not yield at the end of the hour")
	}
}
