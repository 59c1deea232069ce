// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/getty-net/getty/internal/inflate"
)

const (
	// flushTail is what a flush ends in: the header of an empty stored block.
	flushTail = "\x00\x00\xff\xff"
	// flateTail is an empty last block, RFC 1951, section 3.2.4.
	flateTail = "\x01" + flushTail

	minWindowBits = 8
	maxWindowBits = 15
)

// deflater is an encoder that appends.
type deflater struct {
	bits int // of its window
	w    *flate.Writer
	b    []byte
}

// Write is for w.
func (d *deflater) Write(p []byte) (int, error) {
	d.b = append(d.b, p...)
	return len(p), nil
}

// deflaters are shared by all sessions, one pool for each size of window.
var deflaters [maxWindowBits + 1]sync.Pool

// borrowDeflater returns an encoder that begins without a history, as if the
// stream did, which is a valid way to go on with one.
func borrowDeflater(bits int) *deflater {
	if d, _ := deflaters[bits].Get().(*deflater); d != nil {
		d.w.Reset(d)
		return d
	}
	d := &deflater{bits: bits}
	if bits < maxWindowBits {
		d.w, _ = flate.NewWriterWindow(d, 1<<bits) // the sizes are valid
	} else {
		d.w, _ = flate.NewWriter(d, flate.BestSpeed)
	}
	return d
}

func (d *deflater) giveBack() { deflaters[d.bits].Put(d) }

// pack appends p, compressed and flushed.
func (d *deflater) pack(dst, p []byte) []byte {
	d.b = dst
	_, _ = d.w.Write(p) // the only errors would be those of deflater.Write
	_ = d.w.Flush()
	dst, d.b = d.b, nil
	return dst
}

func deflatePiece(dst, p []byte) []byte {
	d := borrowDeflater(maxWindowBits)
	defer d.giveBack()
	return d.pack(dst, p)
}

// inflater is the expander of CompressFlate.
type inflater struct {
	d   inflate.Decoder
	sum *expansion
}

// newInflater relies on pieces that are independent unless they are somebody else's.
func newInflater(raw bool) func(*expansion) expander {
	return func(sum *expansion) expander { return &inflater{inflate.Decoder{Independent: !raw}, sum} }
}

// expand takes steps of a limited size, of which the ratio is looked at: short
// ones near the limit, since what a byte becomes is known only then.
func (f *inflater) expand(dst, src []byte) (out, used int, err error) {
	const short = 256
	return f.d.Expand(dst[:min(len(dst), freeExpansion, max(f.sum.room(0), short))], src)
}

func (f *inflater) rest()       { f.d.Rest() }
func (f *inflater) drop()       { f.d.Drop() }
func (f *inflater) whole() bool { return f.d.Whole() }
