// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"testing"
	"testing/synctest"
)

// A tick that takes long overlaps the next one, and sessions enter meanwhile:
// each list is its tick's own.
func TestFlusherTicksMayOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the timer stands still
		var g group
		f := flusher{g: &g}
		enter := func() *core {
			c := new(core)
			f.enter(c)
			return c
		}
		enter()
		f.giveBack(f.take())
		enter()
		one := f.take()
		second := enter()
		two := f.take()
		enter()
		f.giveBack(one)
		enter()
		if len(one) != 1 || one[0] != nil {
			t.Error("the first tick holds on to its session")
		}
		if len(two) != 1 || two[0] != second {
			t.Error("the second tick has lost its session")
		}
		if got := f.take(); len(got) != 2 || got[0] == nil || got[1] == nil || got[0] == got[1] {
			t.Errorf("the third tick has %d sessions, want two", len(got))
		}
		f.t.Stop()
	})
}
