// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"fmt"
	"math"
)

const (
	defaultLengthSize = 4

	// maxHeader bounds Offset and Strip. No protocol comes near it; it keeps sums of the fields from overflowing and
	// Append from setting aside absurd amounts of memory.
	maxHeader = 1 << 20
)

// Validate reports the first field that is out of its range, or a combination of them that cannot be meant.
func (c LengthField) Validate() error { return c.check() }

// check is Validate. Like all that follows, it has a pointer receiver only because the struct is large enough for each
// copy of it to show in the time that a frame takes.
func (c *LengthField) check() error {
	switch c.LengthSize {
	case 0, 1, 2, 3, 4, 8:
	default:
		return fmt.Errorf("codec: LengthField.LengthSize is %d, want 1, 2, 3, 4 or 8", c.LengthSize)
	}
	if c.Offset < 0 || c.Offset > maxHeader {
		return fmt.Errorf("codec: LengthField.Offset is %d, want 0 to %d", c.Offset, maxHeader)
	}
	if c.Adjustment < -math.MaxInt32 || c.Adjustment > math.MaxInt32 {
		return fmt.Errorf("codec: LengthField.Adjustment is %d, want %d to %d", c.Adjustment, -math.MaxInt32, math.MaxInt32)
	}
	if c.Strip < StripNone || c.Strip > maxHeader {
		return fmt.Errorf("codec: LengthField.Strip is %d, want %d to %d", c.Strip, StripNone, maxHeader)
	}
	if least := max(c.end(), c.strip()); c.MaxFrameLength != 0 && c.MaxFrameLength < least {
		return fmt.Errorf("codec: LengthField.MaxFrameLength is %d, want 0 or at least %d, the length of the header",
			c.MaxFrameLength, least)
	}
	// Netty's decoder needs the negative adjustment, its prepender the flag; whoever takes over both counts twice.
	if c.IncludesLength && c.adjustment() < -int64(c.end()) {
		return fmt.Errorf("codec: LengthField.Adjustment is %d, want %d or more with IncludesLength, "+
			"which subtracts LengthSize already", c.Adjustment, -c.Offset)
	}
	return nil
}

// isZero is c == LengthField{}, for which the compiler would call a function to compare memory.
func (c *LengthField) isZero() bool {
	return c.Offset|c.LengthSize|c.Adjustment|c.Strip|c.MaxFrameLength == 0 && !c.LittleEndian && !c.IncludesLength
}

// size returns LengthSize with its default.
func (c *LengthField) size() int {
	if c.LengthSize == 0 {
		return defaultLengthSize
	}
	return c.LengthSize
}

// end returns where the length field ends.
func (c *LengthField) end() int { return c.Offset + c.size() }

// strip returns Strip with its default.
func (c *LengthField) strip() int {
	switch c.Strip {
	case 0:
		return c.end()
	case StripNone:
		return 0
	default:
		return c.Strip
	}
}

// adjustment returns what Adjustment and IncludesLength come to.
func (c *LengthField) adjustment() int64 {
	if c.IncludesLength {
		return int64(c.Adjustment) - int64(c.size())
	}
	return int64(c.Adjustment)
}

// readUint returns the unsigned number that b is. b has at most 8 bytes.
func readUint(b []byte, littleEndian bool) (v uint64) {
	for i, x := range b {
		if littleEndian {
			v |= uint64(x) << (8 * i)
		} else {
			v = v<<8 | uint64(x)
		}
	}
	return v
}

// putUint makes b the unsigned number v, which fits into it.
func putUint(b []byte, v uint64, littleEndian bool) {
	for i := range b {
		at := len(b) - 1 - i
		if littleEndian {
			at = i
		}
		b[at] = byte(v >> (8 * i)) //nolint:gosec // one byte of it is meant
	}
}
