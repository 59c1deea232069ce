// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"

	"github.com/getty-net/getty/internal/bufpool"
)

// format is one way to compress a stream.
type format struct {
	how Compression
	// compress appends p, of pieceSize at most, in a form that can be
	// expanded at once and by itself. bound is about how long that will be.
	compress func(dst, p []byte) []byte
	bound    func(n int) int
	// ratio is Limits.MaxExpansion.
	ratio int
	// head and tail are the beginning and the end of a stream.
	head, tail string
	// expander makes what expands one stream, whose account is sum.
	expander func(sum *expansion) expander
}

// newFormat makes the format of an endpoint, with Limits.MaxExpansion; nil for none.
func newFormat(how Compression, ratio int) *format {
	f := &format{how: how, ratio: ratio, bound: func(n int) int { return n/2 + 64 }}
	switch how &^ compressRaw {
	case CompressFlate:
		f.compress, f.tail, f.expander = deflatePiece, flateTail, newInflater(how.isRaw())
	case CompressSnappy:
		f.compress, f.bound, f.head = snappyChunk, snappyBound, snappyHead
		f.expander = func(sum *expansion) expander { return &pieces{piece: &snappyReader{}, sum: sum} }
	case CompressZstd:
		z := newZstdPool()
		f.compress = z.compress
		f.expander = func(sum *expansion) expander { return &pieces{piece: &zstdReader{pool: z}, sum: sum} }
	default:
		return nil
	}
	return f
}

// expander expands one stream that arrives in pieces of any size.
type expander interface {
	// expand fills dst from what is inside and from src, and returns how much of
	// both it has used. Nothing of either and no error: it needs more of src.
	expand(dst, src []byte) (out, used int, err error)
	// rest gives back what is not needed while nothing arrives.
	rest()
	// drop gives back everything. Nothing is expanded any more.
	drop()
	// whole reports whether the stream may end here, src being empty.
	whole() bool
}

// spoiled expands nothing any more.
type spoiled struct{}

func (spoiled) expand(_, _ []byte) (out, used int, err error) { return 0, 0, nil }
func (spoiled) rest()                                         {}
func (spoiled) drop()                                         {}
func (spoiled) whole() bool                                   { return true }

// piece reads a format whose pieces are expanded as a whole.
type piece interface {
	// next looks at the piece that data begins with. size is how much of data it
	// takes, 0 if it takes more to know, and may be beyond data; plain bounds
	// what it becomes. A piece with skip becomes nothing and need not arrive as
	// a whole.
	next(data []byte) (size, plain int, skip bool, err error)
	// expand expands a whole piece into dst, and returns how many bytes it was. dst
	// has room for plain bytes unless fewer are allowed: then it is errTooLarge that
	// dst is too short.
	expand(dst, data []byte) (int, error)
}

// pieces is the expander of such a format.
type pieces struct {
	piece piece
	sum   *expansion
	skip  int          // bytes left of a piece that is skipped
	plain *bufpool.Buf // expanded; plain.B[off:] is left; nil if nothing is
	off   int
}

var (
	errTooLarge = errors.New("a block is too large")
	errSwells   = errors.New("it expands too much")
)

func (e *pieces) expand(dst, src []byte) (out, used int, err error) {
	if e.plain != nil {
		out = copy(dst, e.plain.B[e.off:])
		if e.off += out; e.off == len(e.plain.B) {
			bufpool.Put(e.plain)
			e.plain, e.off = nil, 0
		}
		return out, 0, nil
	}
	if e.skip == 0 {
		size, plain, skip, err := e.piece.next(src)
		switch {
		case err != nil || size == 0:
			return 0, 0, err
		case skip:
			e.skip = size
		case size > len(src):
			return 0, 0, nil
		default:
			out, err = e.expandPiece(dst, src[:size], plain)
			return out, size, err
		}
	}
	used = min(e.skip, len(src))
	e.skip -= used
	return 0, used, nil
}

// expandPiece expands a piece that becomes plain bytes at most, into dst if it
// has room for them. What would swell is not expanded further than it may.
func (e *pieces) expandPiece(dst, src []byte, plain int) (out int, err error) {
	room := e.sum.room(len(src))
	most := min(plain, room)
	if most > len(dst) {
		e.plain = bufpool.Get(most)
		n, err := e.piece.expand(e.plain.B[:most:most], src)
		if e.plain.B = e.plain.B[:n]; n == 0 {
			bufpool.Put(e.plain)
			e.plain = nil
		}
		return 0, blame(err, plain > room)
	}
	out, err = e.piece.expand(dst[:most:most], src)
	return out, blame(err, plain > room)
}

// blame takes a piece that did not fit for one that swells, if it got less room
// than it might need.
func blame(err error, short bool) error {
	if short && errors.Is(err, errTooLarge) {
		return errSwells
	}
	return err
}

func (e *pieces) rest()       {}
func (e *pieces) drop()       { bufpool.Put(e.plain); e.plain = nil }
func (e *pieces) whole() bool { return e.plain == nil && e.skip == 0 }
