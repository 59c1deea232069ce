// SPDX-License-Identifier: Apache-2.0

// Package inflate expands a DEFLATE stream (RFC 1951) that arrives in pieces.
//
// The decoders of other packages pull their input and keep the error of an
// input that has run dry; here the caller pushes what there is, gets what it
// stands for, and comes again with more. Nothing waits, and nothing is held
// between two blocks but the history that the stream may still refer to.
package inflate

import (
	"errors"

	"github.com/getty-net/getty/internal/bufpool"
)

const (
	window   = 32 << 10 // how far back a stream may refer
	maxMatch = 258      // the longest copy
	minBuf   = 1 << 10
	maxBuf   = 2 * window
)

// ErrCorrupt is returned for bytes that are no DEFLATE stream.
var ErrCorrupt = errors.New("corrupt DEFLATE data")

// state is what the next bits of the stream are.
type state uint8

const (
	blockHeader  state = iota
	storedHeader       // the length of a stored block
	storedBytes
	dynamicHeader // the codes of a dynamic block
	symbols
	ended // behind the last block
)

// Decoder holds one stream. The zero value is ready for it.
type Decoder struct {
	// Independent says that nothing behind a sync flush refers to what is before
	// it, so that no history is held there. A stream that does is corrupt.
	Independent bool

	buf   *bufpool.Buf // plaintext in B[:cap(B)]; nil if nothing is held
	r, w  int          // [r:w] is to be handed out
	end   int          // w goes no further for now
	floor int          // history begins here
	bit   uint         // bits used of the first byte of src
	state state
	final bool // this block is the last one
	left  int  // bytes left of a stored block
	codes *codes
	own   *codes // codes, if they are to be given back
	err   error  // of the stream, returned when what came before has been handed out
}

// Expand fills dst from what is inside and from src. It returns how many bytes
// of dst it has filled, and how many of src are done with: the rest must come
// again, in front of what follows. Without an error and with dst not full it
// needs more. Inside a block it leaves a byte of src where it can: some callers
// read less well while they hold nothing.
func (d *Decoder) Expand(dst, src []byte) (out, used int, err error) {
	more := true
	for {
		if d.r < d.w {
			n := copy(dst[out:], d.buf.B[d.r:d.w])
			out += n
			d.r += n
		}
		switch {
		case d.r < d.w, out == len(dst):
			return out, used, nil
		case !more || d.err != nil:
			return out, used, d.err
		}
		var n int
		n, more, d.err = d.advance(src[used:], len(dst)-out)
		used += n
	}
}

// Whole reports whether the stream may end here.
func (d *Decoder) Whole() bool {
	return d.r == d.w && d.bit == 0 && (d.state == blockHeader || d.state == ended)
}

// Rest gives back all memory but the history, while nothing arrives. Inside a
// block it does nothing: the rest of it will be here soon.
func (d *Decoder) Rest() {
	if d.buf == nil || d.r < d.w || d.state != blockHeader && d.state != ended {
		return
	}
	keep := d.history()
	switch {
	case keep == 0:
		bufpool.Put(d.buf)
		d.buf, d.r, d.w, d.floor = nil, 0, 0, 0
	case keep <= cap(d.buf.B)/2 && cap(d.buf.B) > minBuf:
		d.move(keep, max(keep, minBuf))
	}
}

// Drop gives back all memory. The Decoder is not used any more.
func (d *Decoder) Drop() {
	bufpool.Put(d.buf)
	*d = Decoder{}
}

// history is how many bytes the stream may refer to.
func (d *Decoder) history() int { return min(d.w-d.floor, window) }

// room makes space for one more copy. All was handed out before.
func (d *Decoder) room() {
	if d.buf == nil {
		d.buf = bufpool.Get(minBuf)
		d.buf.B = d.buf.B[:cap(d.buf.B)]
	}
	size := len(d.buf.B)
	if size-d.w >= maxMatch {
		return
	}
	keep := d.history()
	if keep > size/2 && size < maxBuf {
		size *= 2
	}
	d.move(keep, size)
}

// move puts the history at the front, of another buffer if size is not this one's.
func (d *Decoder) move(keep, size int) {
	old := d.buf
	if size != len(old.B) {
		d.buf = bufpool.Get(size)
		d.buf.B = d.buf.B[:cap(d.buf.B)]
	}
	copy(d.buf.B, old.B[d.w-keep:d.w])
	d.r, d.w, d.floor = keep, keep, 0
	if d.buf != old {
		bufpool.Put(old)
	}
}

// advance goes on with src until there are most bytes or a few more, the buffer
// is full (more), or src is not enough.
func (d *Decoder) advance(src []byte, most int) (used int, more bool, err error) {
	if len(src) == 0 {
		return 0, false, nil
	}
	d.room()
	d.end = min(len(d.buf.B), d.w+most-1+maxMatch)
	b := bitReader{src: src}
	b.fill()
	b.drop(d.bit)
	for more = true; more && err == nil && d.end-d.w >= maxMatch; {
		more, err = d.step(&b)
	}
	pos := b.used()
	d.bit = uint(pos & 7) //nolint:gosec // 0 to 7
	return pos >> 3, more, err
}

// step goes on in one state; more says that it was not short of bits. A step
// that is short has used none.
func (d *Decoder) step(b *bitReader) (more bool, err error) {
	switch d.state {
	case blockHeader:
		return d.beginBlock(b)
	case storedHeader:
		return d.beginStored(b)
	case storedBytes:
		return d.copyStored(b), nil
	case dynamicHeader:
		return d.readCodes(b)
	case symbols:
		return d.expand(b)
	}
	if b.used() < 8*len(b.src) {
		return false, ErrCorrupt // there is something behind the end
	}
	return false, nil
}

func (d *Decoder) beginBlock(b *bitReader) (more bool, err error) {
	b.fill()
	if b.n < 3 {
		return false, nil
	}
	head := b.take(3)
	d.final = head&1 == 1
	switch head >> 1 { // RFC 1951, section 3.2.3
	case 0:
		d.state = storedHeader
	case 1:
		d.codes, d.state = fixedCodes(), symbols
	case 2:
		d.state = dynamicHeader
	default:
		return false, ErrCorrupt
	}
	return true, nil
}

func (d *Decoder) beginStored(b *bitReader) (more bool, err error) {
	b.fill()
	pad := b.n & 7
	if b.n < pad+32 {
		return false, nil
	}
	b.drop(pad)
	v := b.take(32)
	d.left = int(v & 0xffff)
	if d.left != int(^v>>16&0xffff) {
		return false, ErrCorrupt
	}
	d.state = storedBytes
	if d.left == 0 { // a sync flush
		if d.Independent {
			d.floor = d.w
		}
		d.endBlock(b)
	}
	return true, nil
}

func (d *Decoder) copyStored(b *bitReader) (more bool) {
	rest := b.bytes()
	n := min(d.left, d.end-d.w, len(rest))
	if n == len(rest) && n < d.left {
		n-- // see Expand
	}
	if n <= 0 {
		return false
	}
	d.w += copy(d.buf.B[d.w:], rest[:n])
	d.left -= n
	b.skipBytes(n)
	if d.left == 0 {
		d.endBlock(b)
	}
	return true
}

func (d *Decoder) endBlock(b *bitReader) {
	if d.own != nil {
		codePool.Put(d.own)
	}
	d.own, d.codes = nil, nil
	d.state = blockHeader
	if d.final {
		d.state = ended
		b.drop(b.n & 7) // padding
	}
}
