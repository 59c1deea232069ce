// SPDX-License-Identifier: Apache-2.0

package inflate

import "encoding/binary"

// bitReader takes bits out of src, the lowest of each byte first.
type bitReader struct {
	src []byte
	pos int    // of the next byte
	acc uint64 // the next bits; above n there may be more of them
	n   uint
}

// fill makes n at least 56, unless src ends.
func (b *bitReader) fill() {
	if len(b.src)-b.pos >= 8 {
		b.acc |= binary.LittleEndian.Uint64(b.src[b.pos:]) << b.n
		b.pos += int(63-b.n) >> 3
		b.n |= 56
		return
	}
	// Bits above n may be set already, by the same bytes.
	b.acc &= 1<<b.n - 1
	for b.n <= 56 && b.pos < len(b.src) {
		b.acc |= uint64(b.src[b.pos]) << b.n
		b.pos++
		b.n += 8
	}
}

func (b *bitReader) drop(n uint) {
	b.acc >>= n
	b.n -= n
}

func (b *bitReader) take(n uint) uint64 {
	v := b.acc & (1<<n - 1)
	b.drop(n)
	return v
}

// used is how many bits are done with.
func (b *bitReader) used() int { return 8*b.pos - int(b.n) }

// bytes returns the rest of src. The bits before it end with a whole byte.
func (b *bitReader) bytes() []byte { return b.src[b.used()>>3:] }

// skipBytes goes n bytes on from there.
func (b *bitReader) skipBytes(n int) { b.pos, b.acc, b.n = b.used()>>3+n, 0, 0 }
