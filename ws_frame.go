// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// The frames of RFC 6455, section 5.2.

// opcode is what a frame carries.
type opcode byte

const (
	opContinuation opcode = 0x0
	opText         opcode = 0x1
	opBinary       opcode = 0x2
	opClose        opcode = 0x8
	opPing         opcode = 0x9
	opPong         opcode = 0xA
)

func (op opcode) isControl() bool { return op&0x8 != 0 }

// The bits of the first two bytes.
const (
	bitFin  = 1 << 7
	bitRSV1 = 1 << 6 // a compressed message, RFC 7692
	bitRSV2 = 1 << 5
	bitRSV3 = 1 << 4
	bitMask = 1 << 7
)

const (
	maxControlPayload = 125
	// len16 and len64 announce that the length follows in 2 or 8 bytes.
	len16, len64 = 126, 127
	maskSize     = 4
)

// frameHeader is the part of a frame before its payload.
type frameHeader struct {
	fin, rsv1 bool
	op        opcode
	masked    bool
	mask      [maskSize]byte
	size      int // of the header
	length    int // of the payload
}

// parseFrameHeader reads the header at the front of data; a size of 0 means
// that it has not arrived in full. limit bounds the payload of data frames:
// what is announced is held against it before anything is stored.
func parseFrameHeader(data []byte, limit int) (h frameHeader, err error) {
	if len(data) < 2 {
		return h, nil
	}
	h.fin, h.rsv1 = data[0]&bitFin != 0, data[0]&bitRSV1 != 0
	h.op, h.masked = opcode(data[0]&0x0F), data[1]&bitMask != 0
	switch {
	case data[0]&(bitRSV2|bitRSV3) != 0:
		return h, violation("reserved bits are set")
	case h.op > opBinary && h.op < opClose, h.op > opPong:
		return h, violation("opcode %#x is reserved", byte(h.op))
	}
	short := int(data[1] &^ bitMask)
	if h.op.isControl() {
		switch {
		case !h.fin:
			return h, violation("a control frame is fragmented")
		case short > maxControlPayload:
			return h, violation("a control frame is longer than %d bytes", maxControlPayload)
		case h.rsv1:
			return h, violation("a control frame is marked as compressed")
		}
	}
	size, length := 2, uint64(short) //nolint:gosec // 7 bits
	switch short {
	case len16:
		if size += 2; len(data) < size {
			return h, nil
		}
		length = uint64(binary.BigEndian.Uint16(data[2:]))
	case len64:
		if size += 8; len(data) < size {
			return h, nil
		}
		length = binary.BigEndian.Uint64(data[2:])
		if length>>63 != 0 {
			return h, violation("the top bit of a length is set")
		}
	}
	if !h.op.isControl() && length > uint64(limit) { //nolint:gosec // limits are positive
		return h, fmt.Errorf("%w: %d bytes announced, at most %d allowed", ErrMessageTooLong, length, limit)
	}
	if h.masked {
		if size += maskSize; len(data) < size {
			return h, nil
		}
		copy(h.mask[:], data[size-maskSize:])
	}
	h.size, h.length = size, int(length) //nolint:gosec // the top bit is 0, and data frames are within the limit
	return h, nil
}

// headerSize is how long the header of a payload of n bytes is.
func headerSize(n int, masked bool) int {
	size := 2
	switch {
	case n > 0xFFFF:
		size += 8
	case n > maxControlPayload:
		size += 2
	}
	if masked {
		size += maskSize
	}
	return size
}

// putFrameHeader writes the header of a whole message or a control frame into
// dst, which has headerSize bytes and the payload behind them, and masks the
// payload of a client's frame.
func putFrameHeader(dst []byte, op opcode, compressed, masked bool) {
	size := headerSize(0, masked)
	n := len(dst) - size
	dst[0] = bitFin | byte(op)
	if compressed {
		dst[0] |= bitRSV1
	}
	switch {
	case n <= maxControlPayload:
		dst[1] = byte(n) //nolint:gosec // at most 125
	case n-2 <= 0xFFFF:
		n -= 2
		size += 2
		dst[1] = len16
		binary.BigEndian.PutUint16(dst[2:], uint16(n))
	default:
		n -= 8
		size += 8
		dst[1] = len64
		binary.BigEndian.PutUint64(dst[2:], uint64(n))
	}
	if masked {
		dst[1] |= bitMask
		// The generator is seeded by the system and unpredictable (section 10.3).
		var key [maskSize]byte
		binary.LittleEndian.PutUint32(key[:], rand.Uint32()) //nolint:gosec // see above
		copy(dst[size-maskSize:], key[:])
		mask(dst[size:], key, 0)
	}
}

// vectorMin is the length from which vector instructions mask faster.
const vectorMin = 512

// mask masks or unmasks p, the part of a payload that begins at offset, with key
// (section 5.3).
func mask(p []byte, key [maskSize]byte, offset int) {
	if len(p) >= vectorMin {
		ws.Cipher(p, key, offset)
		return
	}
	word := bits.RotateLeft32(binary.LittleEndian.Uint32(key[:]), -8*(offset&3))
	wide := uint64(word)<<32 | uint64(word)
	for len(p) >= 32 {
		q := (*[32]byte)(p)
		binary.LittleEndian.PutUint64(q[:8], binary.LittleEndian.Uint64(q[:8])^wide)
		binary.LittleEndian.PutUint64(q[8:16], binary.LittleEndian.Uint64(q[8:16])^wide)
		binary.LittleEndian.PutUint64(q[16:24], binary.LittleEndian.Uint64(q[16:24])^wide)
		binary.LittleEndian.PutUint64(q[24:], binary.LittleEndian.Uint64(q[24:])^wide)
		p = p[32:]
	}
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(wide >> (8 * i)) //nolint:gosec // one byte of it is meant
	}
}

// utf8Check checks text that arrives in pieces.
type utf8Check struct {
	tail [utf8.UTFMax]byte // a character that has begun
	n    uint8
}

// write reports whether the text can still be valid with p behind it.
func (v *utf8Check) write(p []byte) bool {
	for v.n > 0 && len(p) > 0 {
		v.tail[v.n] = p[0]
		v.n++
		p = p[1:]
		if utf8.FullRune(v.tail[:v.n]) {
			if r, size := utf8.DecodeRune(v.tail[:v.n]); r == utf8.RuneError && size == 1 {
				return false
			}
			v.n = 0
		}
	}
	whole := len(p)
	for i := len(p) - 1; i >= 0 && i >= len(p)-utf8.UTFMax+1; i-- {
		if utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				whole = i
			}
			break
		}
	}
	if !utf8.Valid(p[:whole]) {
		return false
	}
	v.n += uint8(copy(v.tail[v.n:], p[whole:])) //nolint:gosec // at most 4
	return true
}

// done reports whether the text may end here, and starts over.
func (v *utf8Check) done() bool {
	whole := v.n == 0
	v.n = 0
	return whole
}
