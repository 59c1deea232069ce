// SPDX-License-Identifier: Apache-2.0

package inflate

import "encoding/binary"

// expand decodes the symbols of a block.
func (d *Decoder) expand(b *bitReader) (more bool, err error) {
	buf, w := d.buf.B, d.w
	defer func() { d.w = w }()
	for d.end-w >= maxMatch {
		b.fill()
		acc, n := b.acc, b.n
		sym, size := d.codes.lit.find(acc)
		if size == 0 || size > n {
			return false, lacking(size, n)
		}
		acc, n = acc>>size, n-size
		if sym < endOfBlock {
			buf[w] = byte(sym)
			w++
			b.acc, b.n = acc, n
			continue
		}
		if sym == endOfBlock {
			b.acc, b.n = acc, n
			d.endBlock(b)
			return true, nil
		}
		if sym -= endOfBlock + 1; sym >= lengths {
			return false, ErrCorrupt
		}
		extra := uint(lengthExtra[sym])
		length := int(lengthBase[sym]) + int(acc&(1<<extra-1)) //nolint:gosec // 5 bits at most
		if extra > n {
			return false, nil
		}
		acc, n = acc>>extra, n-extra
		dsym, size := d.codes.dist.find(acc)
		if size == 0 || size > n {
			return false, lacking(size, n)
		}
		acc, n = acc>>size, n-size
		if dsym >= distances {
			return false, ErrCorrupt
		}
		extra = uint(distExtra[dsym])
		dist := int(distBase[dsym]) + int(acc&(1<<extra-1)) //nolint:gosec // 13 bits at most
		if extra > n {
			return false, nil
		}
		if dist > w-d.floor {
			return false, ErrCorrupt
		}
		b.acc, b.n = acc>>extra, n-extra
		w = repeat(buf, w, dist, length)
	}
	return true, nil
}

// lacking tells bits that no code begins with from those that do not make one yet.
func lacking(size, n uint) error {
	if size == 0 && n >= maxCode {
		return ErrCorrupt
	}
	return nil
}

// repeat copies length bytes from dist bytes before w to w, which may overlap.
func repeat(buf []byte, w, dist, length int) int {
	from := w - dist
	if dist == 1 && length >= 16 { // a run, which text that expands the most consists of
		run := uint64(buf[from]) * 0x0101010101010101
		binary.LittleEndian.PutUint64(buf[w:], run)
		binary.LittleEndian.PutUint64(buf[w+8:], run)
		w, length = w+16, length-16
	}
	for length > 0 { // each time there is twice as much to copy
		n := copy(buf[w:w+length], buf[from:w])
		w += n
		length -= n
	}
	return w
}
