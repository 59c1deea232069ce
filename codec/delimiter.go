// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"bytes"
	"fmt"
)

// Delimiter is a codec for messages that end in a fixed sequence of bytes (Netty: DelimiterBasedFrameDecoder, with one
// delimiter). The zero value splits at "\n". Every value is valid.
type Delimiter struct {
	// Delim ends each message. It must not change once the codec is in use. nil or empty: "\n".
	Delim []byte

	// Keep leaves the delimiter at the end of the message (Netty: stripDelimiter, with the opposite sense). Default
	// false: it is removed.
	Keep bool
}

// Decode returns the bytes in front of the first delimiter in data, and with Keep the delimiter too. Without one in
// data it asks for more with n == 0. The message is a part of data, not a copy. It returns no error.
func (d Delimiter) Decode(data []byte) (msg []byte, n int, err error) {
	body, n := d.cut(data)
	if n == 0 {
		return nil, 0, nil
	}
	if d.Keep {
		body = n
	}
	return data[:body:body], n, nil
}

// Append writes msg and the delimiter, or with Keep only msg, which then has to end in the delimiter, as a decoded one
// does. A message that would be read as something else is an [ErrBadMessage]: one that has a delimiter inside, or whose
// last bytes form one together with the first bytes of the delimiter that follows ("a-" with the delimiter "--").
func (d Delimiter) Append(dst, msg []byte) ([]byte, error) {
	out, err := d.seal(append(dst, msg...), len(dst))
	if err != nil {
		return dst, err
	}
	return out, nil
}

// cut returns the length of the first message in data without and with its delimiter; the latter is 0 if there is none.
func (d Delimiter) cut(data []byte) (body, n int) {
	if len(d.Delim) <= 1 {
		body = bytes.IndexByte(data, d.last())
		return body, body + 1
	}
	if body = bytes.Index(data, d.Delim); body < 0 {
		return body, 0
	}
	return body, body + len(d.Delim)
}

// last returns the last byte of the delimiter, which is all of it when Delim has one byte or none.
func (d Delimiter) last() byte {
	if len(d.Delim) == 0 {
		return '\n'
	}
	return d.Delim[len(d.Delim)-1]
}

func (Delimiter) reserve() (int, error) { return 0, nil }

func (d Delimiter) seal(dst []byte, start int) ([]byte, error) {
	switch {
	case d.Keep:
	case len(d.Delim) <= 1:
		dst = append(dst, d.last())
	default:
		dst = append(dst, d.Delim...)
	}
	// Looking at the frame as the peer will see it covers the seam between message and delimiter as well.
	_, n := d.cut(dst[start:])
	switch {
	case n == 0:
		return nil, fmt.Errorf("%w: no delimiter at the end, which Delimiter.Keep asks for", ErrBadMessage)
	case n < len(dst)-start:
		return nil, fmt.Errorf("%w: it would be read as ending after %d bytes, at a delimiter", ErrBadMessage, n)
	}
	return dst, nil
}
