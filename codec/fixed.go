// SPDX-License-Identifier: Apache-2.0

package codec

import "fmt"

// Fixed is a codec for messages that all have the same number of bytes (Netty: FixedLengthFrameDecoder). The zero value
// is not valid, as no size can be guessed.
type Fixed struct {
	// Size of each message in bytes. Range: 1 or more.
	Size int
}

// Validate reports a Size out of its range.
func (f Fixed) Validate() error {
	if f.Size < 1 {
		return fmt.Errorf("codec: Fixed.Size is %d, want 1 or more", f.Size)
	}
	return nil
}

// Decode returns the first Size bytes of data, which are a part of it, not a copy. The only error is that of Validate.
func (f Fixed) Decode(data []byte) (msg []byte, n int, err error) {
	if f.Size < 1 {
		return nil, 0, f.Validate()
	}
	if len(data) < f.Size {
		return nil, f.Size, nil
	}
	return data[:f.Size:f.Size], f.Size, nil
}

// Append writes msg. A message of any other length than Size is an [ErrBadMessage].
func (f Fixed) Append(dst, msg []byte) ([]byte, error) {
	if err := f.check(len(msg)); err != nil {
		return dst, err
	}
	return append(dst, msg...), nil
}

func (f Fixed) check(size int) error {
	if f.Size < 1 {
		return f.Validate()
	}
	if size != f.Size {
		return fmt.Errorf("%w: %d bytes, Fixed.Size is %d", ErrBadMessage, size, f.Size)
	}
	return nil
}

func (f Fixed) reserve() (int, error) { return 0, f.Validate() }

func (f Fixed) seal(dst []byte, start int) ([]byte, error) {
	return dst, f.check(len(dst) - start)
}
