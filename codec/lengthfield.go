// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// StripNone as LengthField.Strip keeps the whole frame as the message (Netty: initialBytesToStrip = 0).
const StripNone = -1

// LengthField is a codec for frames that say in a binary field how long they are. It has all the parameters of Netty's
// LengthFieldBasedFrameDecoder and LengthFieldPrepender, named in the fields' comments.
//
//	|<-- Offset -->|<- LengthSize ->|<-- length + Adjustment -->|
//	+--------------+----------------+---------------------------+
//	| header       | length         | rest of the frame         |
//	+--------------+----------------+---------------------------+
//	|<- Strip ->|<----------------- message ------------------->|
//
// The zero value is a 4-byte big-endian length that counts the body, then the body; the message is the body. This case
// is the fastest.
//
// Decode and Append use the same fields in the same sense, so that what one writes the other reads. A message to be
// sent has the shape of a received one: the frame without its first Strip bytes. Append sets aside those Strip bytes,
// copies the message behind them and writes the length where it belongs. So with the default Strip and Offset 0 the
// message is the body. With StripNone, or a Strip that ends before or within the length field, the message begins with
// (the rest of) the header, and what stands in the place of the length is ignored and overwritten in the frame; msg
// itself is not changed. Bytes that Decode strips without the length field being in them are lost: Append writes zeros
// there. A protocol that has something to say in them should keep them, with a smaller Strip.
//
// There is no counterpart of Netty's failFast. A frame that is too long is reported as soon as its length has arrived,
// never after its body: the error ends the session, so nothing would be gained by reading the body away.
type LengthField struct {
	// Offset is the number of bytes in front of the length field (Netty: lengthFieldOffset).
	// Range: 0 to 1 MiB. Default 0.
	Offset int

	// LengthSize is the number of bytes of the length field (Netty: lengthFieldLength), an unsigned number.
	// Range: 1, 2, 3, 4 or 8. 0 means the default of 4.
	LengthSize int

	// Adjustment is what must be added to the length to have the number of bytes behind the length field (Netty, decoder:
	// lengthAdjustment; that of its prepender has the opposite sign). It is negative when the length counts bytes up to
	// and including the length field too, as in -(Offset+LengthSize) for the length of the whole frame, and positive when
	// there are bytes behind the length field that it does not count.
	// Range: -2147483647 to 2147483647. Default 0.
	Adjustment int

	// Strip is the number of bytes at the start of a frame that are not a part of the message (Netty:
	// initialBytesToStrip). 0 means the default of Offset+LengthSize: everything up to the end of the length field. To
	// strip nothing, where Netty has 0, set StripNone.
	// Range: StripNone (-1) to 1 MiB.
	Strip int

	// MaxFrameLength is the limit, in bytes, for a frame as it is on the wire, its header included, in both directions
	// (Netty: maxFrameLength). The session's limit on messages applies besides.
	// Range: Offset+LengthSize and Strip, or more. 0 means the default: only the session's limit.
	MaxFrameLength int

	// LittleEndian is the byte order of the length (Netty: byteOrder). Default false: big-endian.
	LittleEndian bool

	// IncludesLength says that the length counts the length field itself (Netty, prepender:
	// lengthIncludesLengthFieldLength). It is a shorthand for an Adjustment that is lower by LengthSize: set only one of
	// the two for the same bytes. Default false.
	IncludesLength bool
}

// Decode returns the first frame in data without its first Strip bytes. The message is a part of data, not a copy. A
// length that ends the frame before the end of its length field or of what is to be stripped is an [ErrCorruptFrame];
// one that is over MaxFrameLength or more than an int can hold is an [ErrFrameTooLong]. On fields out of their range it
// returns the error of Validate.
func (c LengthField) Decode(data []byte) (msg []byte, n int, err error) { return c.first(data) }

// Append writes msg as a frame. A message that is shorter than the header which it should contain, or than a positive
// Adjustment demands, is an [ErrBadMessage]; one that makes the frame longer than MaxFrameLength, or than the length
// field can say, is an [ErrFrameTooLong]. On fields out of their range it returns the error of Validate.
func (c LengthField) Append(dst, msg []byte) ([]byte, error) { return c.behind(dst, msg) }

// first is Decode, and behind Append, with the fields where they are: a value of this size is copied for each call.
func (c *LengthField) first(data []byte) (msg []byte, n int, err error) {
	if !c.isZero() {
		return c.decode(data)
	}
	if len(data) < defaultLengthSize {
		return nil, defaultLengthSize, nil
	}
	frame := defaultLengthSize + uint64(binary.BigEndian.Uint32(data))
	if frame <= uint64(len(data)) {
		return data[defaultLengthSize:frame:frame], int(frame), nil //nolint:gosec // at most a message, which is an int
	}
	n, err = addLength(frame, 0)
	return nil, n, err
}

func (c *LengthField) behind(dst, msg []byte) ([]byte, error) {
	if !c.isZero() || len(msg) > math.MaxInt32-defaultLengthSize {
		return c.append(dst, msg)
	}
	start, end := len(dst), len(dst)+defaultLengthSize
	dst = slices.Grow(dst, defaultLengthSize+len(msg))[:end+len(msg)]
	binary.BigEndian.PutUint32(dst[start:], uint32(len(msg))) //nolint:gosec // limited before
	copy(dst[end:], msg)
	return dst, nil
}

// decode is Decode for any value of the fields.
func (c *LengthField) decode(data []byte) (msg []byte, n int, err error) {
	if err := c.check(); err != nil {
		return nil, 0, err
	}
	end := c.end()
	if len(data) < end {
		return nil, end, nil
	}
	n, err = c.frameLength(readUint(data[c.Offset:end], c.LittleEndian))
	if err != nil || n > len(data) {
		return nil, n, err
	}
	return data[c.strip():n:n], n, nil
}

// append is Append for any value of the fields.
func (c *LengthField) append(dst, msg []byte) ([]byte, error) {
	strip, err := c.reserve()
	if err != nil {
		return dst, err
	}
	frame, err := addLength(uint64(strip), uint64(len(msg))) //nolint:gosec // lengths are positive
	if err != nil {
		return dst, err
	}
	start := len(dst)
	out := slices.Grow(dst, frame)[:start+strip]
	clear(out[start:])
	if out, err = c.seal(append(out, msg...), start); err != nil {
		return dst, err
	}
	return out, nil
}

func (c LengthField) reserve() (int, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	return c.strip(), nil
}

func (c LengthField) seal(dst []byte, start int) ([]byte, error) {
	length, err := c.lengthOf(len(dst) - start)
	if err != nil {
		return nil, err
	}
	putUint(dst[start+c.Offset:start+c.end()], length, c.LittleEndian)
	return dst, nil
}

// frameLength returns the length of the frame whose length field says length.
func (c *LengthField) frameLength(length uint64) (int, error) {
	// The range of the fields keeps add far from the ends of int64, and only a length beyond them can overflow.
	add := int64(c.end()) + c.adjustment()
	if length > math.MaxInt64-uint64(max(add, 0)) {
		return 0, fmt.Errorf("%w: length field says %d", ErrFrameTooLong, length)
	}
	frame := int64(length) + add //nolint:gosec // checked against the limit before
	if least := int64(max(c.end(), c.strip())); frame < least {
		return 0, fmt.Errorf("%w: length field says %d, for a frame of %d bytes with a header of %d",
			ErrCorruptFrame, length, frame, least)
	}
	if c.MaxFrameLength > 0 && frame > int64(c.MaxFrameLength) {
		return 0, c.tooLong(frame)
	}
	return addLength(uint64(frame), 0) //nolint:gosec // not negative
}

// lengthOf returns what the length field of a frame of so many bytes has to say.
func (c *LengthField) lengthOf(frame int) (uint64, error) {
	if frame < c.end() {
		return 0, fmt.Errorf("%w: it ends within the length field, which ends after %d bytes, Strip included",
			ErrBadMessage, c.end())
	}
	length := int64(frame-c.end()) - c.adjustment()
	if length < 0 {
		return 0, fmt.Errorf("%w: its length would be %d after the Adjustment of %d", ErrBadMessage, length, c.Adjustment)
	}
	if c.MaxFrameLength > 0 && frame > c.MaxFrameLength {
		return 0, c.tooLong(int64(frame))
	}
	if size := c.size(); size < 8 && uint64(length)>>(8*size) != 0 {
		return 0, fmt.Errorf("%w: a length of %d does not fit into %d bytes", ErrFrameTooLong, length, size)
	}
	return uint64(length), nil
}

func (c *LengthField) tooLong(frame int64) error {
	return fmt.Errorf("%w: %d bytes, LengthField.MaxFrameLength is %d", ErrFrameTooLong, frame, c.MaxFrameLength)
}
