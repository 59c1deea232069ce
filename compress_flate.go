// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/getty-net/getty/internal/inflate"
)

// flateTail is an empty last block, RFC 1951, section 3.2.4.
const flateTail = "\x01\x00\x00\xff\xff"

// deflater is an encoder that appends.
type deflater struct {
	w *flate.Writer
	b []byte
}

func (d *deflater) Write(p []byte) (int, error) {
	d.b = append(d.b, p...)
	return len(p), nil
}

// deflaters are shared by all sessions: one is borrowed for a piece. It begins
// without a history, as if the stream did, which is a valid way to go on with it.
var deflaters = sync.Pool{New: func() any {
	d := new(deflater)
	d.w, _ = flate.NewWriter(d, flate.BestSpeed) // the level is valid
	return d
}}

func deflatePiece(dst, p []byte) []byte {
	d := deflaters.Get().(*deflater)
	d.b = dst
	d.w.Reset(d)
	_, _ = d.w.Write(p) // the only errors would be those of deflater.Write
	_ = d.w.Flush()
	dst, d.b = d.b, nil
	deflaters.Put(d)
	return dst
}

// inflater is the expander of CompressFlate.
type inflater struct{ d inflate.Decoder }

// newInflater relies on pieces that are independent unless they are somebody else's.
func newInflater(raw bool) func() expander {
	return func() expander { return &inflater{inflate.Decoder{Independent: !raw}} }
}

func (f *inflater) expand(dst, src []byte) (out, used int, err error) { return f.d.Expand(dst, src) }
func (f *inflater) rest()                                             { f.d.Rest() }
func (f *inflater) whole() bool                                       { return f.d.Whole() }
