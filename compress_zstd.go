// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	zstdMax      = 128 << 10 // of plaintext in a frame
	zstdMaxFrame = zstdMax + 4<<10
	zstdWindow   = 8 << 20 // announced by foreign encoders; nothing is allocated for it

	zstdSkip = 16 << 20 // of a skippable frame

	// RFC 8878, section 3.1.1.2.
	zstdBlockHeader = 3
	zstdRLE         = 1
	zstdReserved    = 3
	zstdSum         = 4
)

// zstdPool has the encoders and decoders of an endpoint: one is borrowed for a
// frame. They hold channels, so endpoints in different bubbles of
// testing/synctest cannot share them.
type zstdPool struct{ encoders, decoders sync.Pool }

func newZstdPool() *zstdPool {
	z := new(zstdPool)
	z.encoders.New = func() any {
		e, _ := zstd.NewWriter(nil, // no option is out of range
			zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(pieceSize), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		return e
	}
	z.decoders.New = func() any {
		d, _ := zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecodeAllCapLimit(true))
		return d
	}
	return z
}

// compress appends p as one frame. A checksum is left to the transport below.
func (z *zstdPool) compress(dst, p []byte) []byte {
	e := z.encoders.Get().(*zstd.Encoder)
	dst = e.EncodeAll(p, dst)
	z.encoders.Put(e)
	return dst
}

var (
	errZstdBlock = errors.New("invalid block")
	errZstdFrame = errors.New("a frame is too large")
)

// zstdReader reads frames. A frame is looked at block by block as they arrive.
type zstdReader struct {
	pool  *zstdPool
	at    int // the next block header of the frame; 0: it has not begun
	sum   int // bytes of the checksum behind the last block
	plain int
}

func (r *zstdReader) next(data []byte) (size, plain int, skip bool, err error) {
	if r.at == 0 {
		var h zstd.Header
		switch err := h.Decode(data); {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return 0, 0, false, nil
		case err != nil:
			return 0, 0, false, err
		case h.Skippable && h.SkippableSize > zstdSkip:
			return 0, 0, false, errZstdFrame
		case h.Skippable:
			return h.HeaderSize + int(h.SkippableSize), 0, true, nil
		case h.HasFCS && h.FrameContentSize > zstdMax:
			return 0, 0, false, errZstdFrame
		}
		r.at, r.sum, r.plain = h.HeaderSize, 0, zstdMax
		if h.HasCheckSum {
			r.sum = zstdSum
		}
		if h.HasFCS {
			r.plain = int(h.FrameContentSize) //nolint:gosec // checked above
		}
	}
	return r.blocks(data)
}

// blocks finds the end of the frame.
func (r *zstdReader) blocks(data []byte) (size, plain int, skip bool, err error) {
	for r.at+zstdBlockHeader <= len(data) {
		head := int(data[r.at]) | int(data[r.at+1])<<8 | int(data[r.at+2])<<16
		last, kind, length := head&1 == 1, head>>1&3, head>>3
		if kind == zstdReserved {
			return 0, 0, false, errZstdBlock
		}
		if kind == zstdRLE {
			length = 1 // that many times
		}
		r.at += zstdBlockHeader + length
		switch {
		case r.at > zstdMaxFrame:
			return 0, 0, false, errZstdFrame
		case last:
			size = r.at + r.sum
			if size <= len(data) {
				r.at = 0
			} else {
				r.at -= zstdBlockHeader + length // it is looked at again
			}
			return size, r.plain, false, nil
		}
	}
	return 0, 0, false, nil
}

func (r *zstdReader) expand(dst, frame []byte) (int, error) {
	d := r.pool.decoders.Get().(*zstd.Decoder)
	out, err := d.DecodeAll(frame, dst[:0])
	r.pool.decoders.Put(d)
	corrupt := errors.Is(err, zstd.ErrCRCMismatch) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case len(out) > len(dst), err != nil && !corrupt && len(dst) < r.plain: // there are several errors for the latter
		return 0, errTooLarge
	case err != nil:
		return 0, err
	}
	return copy(dst, out), nil
}
