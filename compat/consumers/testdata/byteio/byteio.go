// SPDX-License-Identifier: Apache-2.0

// Package byteio stands in for a module that the proxy does not have: it is the one method that seata-go calls.
package byteio

import (
	"encoding/binary"
	"io"
)

// BigEndianReader reads numbers from a Reader.
type BigEndianReader struct{ io.Reader }

// ReadInt16 reads a number and returns how many bytes it was.
func (r *BigEndianReader) ReadInt16() (int16, int, error) {
	var b [2]byte
	n, err := io.ReadFull(r.Reader, b[:])
	return int16(binary.BigEndian.Uint16(b[:])), n, err
}
