// SPDX-License-Identifier: Apache-2.0

package inflate

import (
	"math/bits"
	"sync"
)

const (
	maxCode    = 15 // bits of the longest code
	fastBits   = 9  // codes up to here are found at once
	endOfBlock = 256
	maxLits    = 286
	fixedLits  = 288
	lengths    = 29
	distances  = 30
)

// RFC 1951, section 3.2.5.
var (
	lengthBase = [lengths]uint16{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31,
		35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
	}
	lengthExtra = [lengths]uint8{
		0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
	}
	distBase = [distances]uint16{
		1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769,
		1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
	}
	distExtra = [distances]uint8{
		0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
	}
	// The order in which the lengths of the code lengths' codes are sent.
	codeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

// codes are those of one block.
type codes struct{ lit, dist huffman }

// codePool serves all streams: codes are held inside a block only.
var codePool = sync.Pool{New: func() any { return new(codes) }}

// fixedCodes are those of RFC 1951, section 3.2.6.
var fixedCodes = sync.OnceValue(func() *codes {
	var sizes [fixedLits]uint8
	for i := range sizes {
		switch {
		case i < 144, i >= 280:
			sizes[i] = 8
		case i < 256:
			sizes[i] = 9
		default:
			sizes[i] = 7
		}
	}
	c := new(codes)
	c.lit.build(sizes[:])
	for i := range sizes[:32] {
		sizes[i] = 5
	}
	c.dist.build(sizes[:32])
	return c
})

// huffman is a canonical code, RFC 1951, section 3.2.2.
type huffman struct {
	fast  [1 << fastBits]uint16 // symbol<<4 | size by the next bits; 0: longer, or no code
	count [maxCode + 1]uint16   // of codes by size
	order [fixedLits]uint16     // the symbols by code
}

// build makes the code of symbols with the given sizes, 0 for none. It must be
// complete, but for a single code of one bit, and none at all.
func (h *huffman) build(sizes []uint8) bool {
	h.count = [maxCode + 1]uint16{}
	for _, s := range sizes {
		h.count[s]++
	}
	h.count[0] = 0
	var next, offset [maxCode + 2]int
	left, used := 1, 0
	for s := 1; s <= maxCode; s++ {
		n := int(h.count[s])
		if left = left<<1 - n; left < 0 {
			return false
		}
		used += n
		offset[s+1] = offset[s] + n
		next[s+1] = (next[s] + n) << 1
	}
	if left > 0 && used > 1 || used == 1 && h.count[1] != 1 {
		return false
	}
	clear(h.fast[:])
	for sym, s := range sizes {
		if s == 0 {
			continue
		}
		h.order[offset[s]] = uint16(sym)
		offset[s]++
		code := next[s]
		next[s]++
		if s > fastBits {
			continue
		}
		entry := uint16(sym)<<4 | uint16(s)
		for i := int(bits.Reverse16(uint16(code)) >> (16 - s)); i < len(h.fast); i += 1 << s { //nolint:gosec // codes have 15 bits
			h.fast[i] = entry
		}
	}
	return true
}

// find returns the symbol whose code acc begins with, and the code's size, 0
// for none. Bits that have not arrived count as 0: the caller compares size
// with what has.
func (h *huffman) find(acc uint64) (sym, size uint) {
	if e := uint(h.fast[acc&(1<<fastBits-1)]); e != 0 {
		return e >> 4, e & 15
	}
	code, first, index := 0, 0, 0
	for size = 1; size <= maxCode; size++ {
		code |= int(acc & 1)
		acc >>= 1
		n := int(h.count[size])
		if code < first+n {
			return uint(h.order[index+code-first]), size
		}
		index += n
		first = (first + n) << 1
		code <<= 1
	}
	return 0, 0
}

// readCodes reads the codes of a dynamic block, RFC 1951, section 3.2.7. If
// they have not arrived in full it is called again with all of them: they are
// 320 bytes at most.
func (d *Decoder) readCodes(b *bitReader) (more bool, err error) {
	begin := *b
	if d.own == nil {
		d.own = codePool.Get().(*codes)
	}
	ok, more := d.own.read(b)
	switch {
	case !more:
		*b = begin
		return false, nil
	case !ok:
		return false, ErrCorrupt
	}
	d.codes, d.state = d.own, symbols
	return true, nil
}

func (c *codes) read(b *bitReader) (ok, more bool) {
	b.fill()
	if b.n < 14 {
		return false, false
	}
	lits, dists, n := int(b.take(5))+257, int(b.take(5))+1, int(b.take(4))+4 //nolint:gosec // 5 bits and 4 bits
	if lits > maxLits || dists > distances {
		return false, true
	}
	var sizes [maxLits + distances]uint8
	for _, i := range codeOrder[:n] {
		b.fill()
		if b.n < 3 {
			return false, false
		}
		sizes[i] = uint8(b.take(3)) //nolint:gosec // 3 bits
	}
	if !c.dist.build(sizes[:len(codeOrder)]) {
		return false, true
	}
	clear(sizes[:len(codeOrder)])
	if ok, more = c.dist.sizes(b, sizes[:lits+dists]); !ok {
		return false, more
	}
	return c.lit.build(sizes[:lits]) && c.dist.build(sizes[lits:lits+dists]), true
}

// sizes reads the sizes of codes with h.
func (h *huffman) sizes(b *bitReader, sizes []uint8) (ok, more bool) {
	for i := 0; i < len(sizes); {
		b.fill()
		sym, size := h.find(b.acc)
		if size == 0 || size > b.n {
			return false, size == 0 && b.n >= maxCode
		}
		if sym < 16 {
			b.drop(size)
			sizes[i] = uint8(sym)
			i++
			continue
		}
		extra, n := uint(2), 3
		switch sym {
		case 17:
			extra = 3
		case 18:
			extra, n = 7, 11
		}
		if b.n < size+extra {
			return false, false
		}
		b.drop(size)
		n += int(b.take(extra)) //nolint:gosec // 7 bits at most
		if n > len(sizes)-i || sym == 16 && i == 0 {
			return false, true
		}
		for ; n > 0; n-- {
			if sym == 16 {
				sizes[i] = sizes[i-1]
			}
			i++
		}
	}
	return true, true
}
