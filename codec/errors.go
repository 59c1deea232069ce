// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"errors"
	"fmt"
	"math"
)

// What the codecs of this package return wraps one of these errors, except for errors of configuration and for those of
// a user's own functions. The text around them says which length or byte was wrong; it never holds the payload.
var (
	// ErrFrameTooLong: a length, announced by the peer or of a message to be sent, is over LengthField.MaxFrameLength,
	// does not fit into the length field, or is more than an int can hold.
	ErrFrameTooLong = errors.New("codec: frame too long")

	// ErrCorruptFrame: the peer's bytes cannot be a frame of this codec. Only Decode returns it.
	ErrCorruptFrame = errors.New("codec: corrupt frame")

	// ErrBadMessage: the message cannot be sent with this codec, since it would be read as something else. Only Append
	// returns it.
	ErrBadMessage = errors.New("codec: message does not fit the codec")
)

// addLength returns a+b, or an error when that is more than an int of this machine can hold. Neither is negative.
func addLength(a, b uint64) (int, error) {
	if a > math.MaxInt || b > math.MaxInt-a {
		return 0, fmt.Errorf("%w: %d and %d bytes are more than an int can hold", ErrFrameTooLong, a, b)
	}
	return int(a + b), nil //nolint:gosec // the sum was checked
}
