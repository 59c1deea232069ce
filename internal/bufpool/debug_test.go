// SPDX-License-Identifier: Apache-2.0

//go:build getty_debug

package bufpool

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// borrow and giveBack are looked for in reports.
func borrow() *Buf     { return Get(1) }
func giveBack(b *Buf)  { Put(b) }
func giveAgain(b *Buf) { Put(b) }

// fresh forgets everything, before and after a test.
func fresh(t *testing.T) {
	forget := func() {
		clear(books.lent)
		clear(books.kept[:])
		books.faults = nil
	}
	forget()
	t.Cleanup(forget)
}

// panics returns what f panics with.
func panics(t *testing.T, f func()) (text string) {
	t.Helper()
	defer func() {
		if text = fmt.Sprint(recover()); text == "<nil>" {
			t.Error("no panic")
		}
	}()
	f()
	return ""
}

func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, text)
		}
	}
}

func TestPutOverwrites(t *testing.T) {
	fresh(t)
	b := borrow()
	alias := append(b.B, "secret"...)
	b.B = alias
	giveBack(b)
	if !bytes.Equal(alias, bytes.Repeat([]byte{poison}, len(alias))) {
		t.Errorf("an alias reads %q", alias)
	}
	if err := Verify(); err != nil {
		t.Error(err)
	}
}

func TestSecondPutPanicsWithBothStacks(t *testing.T) {
	fresh(t)
	b := borrow()
	giveBack(b)
	for range 2 * keepLeast { // its memory is somebody else's by now
		giveBack(borrow())
	}
	text := panics(t, func() { giveAgain(b) })
	says(t, text, "twice", "bufpool.borrow", "bufpool.giveBack", "bufpool.giveAgain", "debug_test.go:")
	if err := Verify(); err == nil {
		t.Error("forgotten")
	} else {
		says(t, err.Error(), text)
	}
}

func TestWriteAfterPutIsFound(t *testing.T) {
	t.Run("at the next Get", func(t *testing.T) {
		fresh(t)
		b := borrow()
		alias := b.B[:1]
		giveBack(b)
		alias[0] = 'x'
		text := panics(t, func() {
			for range 2 * keepLeast {
				giveBack(borrow())
			}
		})
		says(t, text, "written to after", "bufpool.borrow", "bufpool.giveBack")
	})
	t.Run("by Verify", func(t *testing.T) {
		fresh(t)
		b := borrow()
		giveBack(b)
		b.B = append(b.B, 'x')
		if err := Verify(); err == nil {
			t.Error("not found")
		} else {
			says(t, err.Error(), "written to after", "bufpool.borrow", "bufpool.giveBack")
		}
	})
}

func TestWhatIsLentIsReported(t *testing.T) {
	fresh(t)
	var all []*Buf
	for range maxReports + 2 {
		all = append(all, borrow())
	}
	all = append(all, Get(MaxSize+1))
	if err := Verify(); err == nil {
		t.Error("not found")
	} else {
		says(t, err.Error(), "has not come back", "bufpool.borrow", "and 3 more")
	}
	for _, b := range all {
		giveBack(b)
	}
	if err := Verify(); err != nil {
		t.Error(err)
	}
}
