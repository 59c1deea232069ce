// SPDX-License-Identifier: Apache-2.0

package inflate

// Measure returns how many bytes the streams in src, one behind the other, stand
// for, without making them: the more they expand, the less that costs in
// comparison. It goes no further than a little beyond limit, the end of src, and
// what is no DEFLATE. Where copies come from it does not look at.
func Measure(src []byte, limit int) (size int) {
	d := Decoder{state: blockHeader}
	b := bitReader{src: src}
	for more := true; more && size <= limit; {
		var n int
		switch d.state {
		case ended:
			d.state = blockHeader
		case storedBytes:
			n, more = d.skipStored(&b)
		case symbols:
			n, more = d.measure(&b, limit-size)
		default:
			var err error
			more, err = d.step(&b)
			more = more && err == nil
		}
		size += n
	}
	if d.own != nil {
		codePool.Put(d.own)
	}
	return size
}

// skipStored goes to the end of a stored block.
func (d *Decoder) skipStored(b *bitReader) (n int, more bool) {
	n = min(d.left, len(b.bytes()))
	d.left -= n
	b.skipBytes(n)
	if d.left > 0 {
		return n, false
	}
	d.endBlock(b)
	return n, true
}

// measure adds up what the symbols of a block stand for.
func (d *Decoder) measure(b *bitReader, limit int) (size int, more bool) {
	codes := d.codes
	for size <= limit {
		b.fill()
		acc, n := b.acc, b.n
		sym, bits := codes.lit.find(acc)
		if bits == 0 || bits > n {
			return size, false
		}
		acc, n = acc>>bits, n-bits
		length := 1
		if sym == endOfBlock {
			b.acc, b.n = acc, n
			d.endBlock(b)
			return size, true
		}
		if sym > endOfBlock {
			if sym -= endOfBlock + 1; sym >= lengths {
				return size, false
			}
			extra := uint(lengthExtra[sym])
			length = int(lengthBase[sym]) + int(acc&(1<<extra-1)) //nolint:gosec // 5 bits at most
			dist, bits := codes.dist.find(acc >> extra)
			if bits == 0 || dist >= distances {
				return size, false
			}
			if bits += extra + uint(distExtra[dist]); bits > n {
				return size, false
			}
			acc, n = acc>>bits, n-bits
		}
		b.acc, b.n = acc, n
		size += length
	}
	return size, true
}
