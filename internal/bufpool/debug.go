// SPDX-License-Identifier: Apache-2.0

//go:build getty_debug

package bufpool

import (
	"bytes"
	"runtime"
	"slices"
	"sync"
)

// Debug reports whether the pool watches its borrowers: what was given back is
// overwritten, kept for a while and looked at before it is lent again; a second
// Put panics; and Verify names what was lent and did not come back.
const Debug = true

// poison fills what nobody may look at: as text it is invalid UTF-8, as a
// length it is too long or negative.
const poison = 0xdb

// Of each class so much is kept, so that a late writer is caught.
const (
	keepBytes = 4 << 20
	keepLeast = 4
)

// tracked is what is known of a buffer. A *Buf is lent once: its memory comes
// back under another one, so that a second Put is always known for one.
type tracked struct {
	lent     bool   // false: it was given back, or never came from Get
	held     []byte // while it is kept
	got, put stack
}

// books are of the process, as the pool is.
var books = struct {
	mu     sync.Mutex
	lent   map[*Buf]bool
	kept   [maxShift - minShift + 1][]*Buf // those given back, the oldest first
	faults []string                        // found so far
}{lent: make(map[*Buf]bool)}

// Get lends a buffer with len(B) == 0 and cap(B) >= n, filled with poison.
func Get(n int) *Buf {
	b := &Buf{tracked: tracked{lent: true, got: callers()}}
	books.mu.Lock()
	defer books.mu.Unlock()
	books.lent[b] = true
	if n <= MaxSize {
		c := ceilClass(n)
		n = MinSize << c
		if kept := books.kept[c]; len(kept) > keepLeast {
			b.B = takeOldest(c)
			return b
		}
	}
	b.B = make([]byte, n)
	Poison(b.B)
	b.B = b.B[:0]
	return b
}

// Put takes b back and overwrites it. It panics if b was given back before.
// A nil b is ignored, and one that did not come from Get.
func Put(b *Buf) {
	if b == nil {
		return
	}
	now := callers()
	books.mu.Lock()
	defer books.mu.Unlock()
	switch {
	case b.lent:
	case b.put != stack{}:
		panic(fault("a buffer was given back twice", b, "again by", now))
	default:
		return
	}
	delete(books.lent, b)
	b.lent, b.put, b.held, b.B = false, now, b.B[:cap(b.B)], nil
	Poison(b.held)
	if size := len(b.held); size < MinSize || size >= 2*MaxSize {
		b.held = nil
		return
	}
	c := floorClass(len(b.held))
	books.kept[c] = append(books.kept[c], b)
	if len(books.kept[c]) > max(keepLeast, keepBytes>>(c+minShift)) {
		takeOldest(c)
	}
}

// takeOldest returns the memory that has been kept the longest, after a look at
// it. It is called with mu held.
func takeOldest(c int) []byte {
	b := books.kept[c][0]
	books.kept[c][0] = nil
	books.kept[c] = books.kept[c][1:]
	if !b.untouched() {
		panic(fault("a buffer was written to after it had been given back", b, "noticed by", callers()))
	}
	held := b.held[:0]
	b.held = nil
	return held
}

// untouched reports whether nobody used b since it was given back.
func (b *Buf) untouched() bool {
	for part := range slices.Chunk(b.held, len(pattern)) {
		if !bytes.Equal(part, pattern[:len(part)]) {
			return false
		}
	}
	return b.B == nil
}

// pattern is poison in a piece that is quick to copy and to compare.
var pattern = bytes.Repeat([]byte{poison}, 16<<10)

// Poison overwrites bytes that nobody may look at any more.
func Poison(b []byte) {
	for len(b) > 0 {
		b = b[copy(b, pattern):]
	}
}

// stack is where something was done, without the functions of this package.
type stack [24]uintptr

func callers() (s stack) {
	runtime.Callers(3, s[:])
	return s
}
