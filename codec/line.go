// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Line is a codec for lines of text. The zero value reads lines that end in "\n" or "\r\n" and writes "\n".
//
// A message is a string of its own, which may be kept; that costs one allocation for each message that is not empty.
// [Delimiter] reads lines without it. The text is not checked to be UTF-8.
type Line struct {
	// CRLF makes Append end each line in "\r\n". Decode takes both endings in any case. Default false: "\n".
	CRLF bool
}

// Decode returns the text in front of the first "\n" of data. One "\r" at the end of that text belongs to the ending
// and is removed too. Without "\n" in data it asks for more with n == 0. It returns no error.
func (Line) Decode(data []byte) (msg string, n int, err error) {
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		return "", 0, nil
	}
	return string(bytes.TrimSuffix(data[:end], []byte{'\r'})), end + 1, nil
}

// Append writes msg and the end of the line. A message with "\n" in it is an [ErrBadMessage], as it would be read as
// two. A message that itself ends in "\r" always gets the ending "\r\n", so that its own "\r" is not taken for a part
// of the ending.
func (l Line) Append(dst []byte, msg string) ([]byte, error) {
	if i := strings.IndexByte(msg, '\n'); i >= 0 {
		return dst, fmt.Errorf(`%w: "\n" at byte %d of a line`, ErrBadMessage, i)
	}
	dst = append(slices.Grow(dst, len(msg)+len("\r\n")), msg...)
	if l.CRLF || strings.HasSuffix(msg, "\r") {
		dst = append(dst, '\r')
	}
	return append(dst, '\n'), nil
}
