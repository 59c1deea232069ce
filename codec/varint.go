// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// maxVarintLen is the number of bytes in which an unsigned LEB128 number of 32 bits is written at most.
const maxVarintLen = binary.MaxVarintLen32

// Varint is a codec for messages behind their length as an unsigned LEB128 number of up to 32 bits, the way in which
// streams of protobuf messages are written (Netty: ProtobufVarint32FrameDecoder, ProtobufVarint32LengthFieldPrepender;
// protobuf for Java: writeDelimitedTo). The length counts the body only. The zero value is ready for use.
type Varint struct{}

// Decode returns the body of the first frame in data, which is a part of it, not a copy. A length written with more
// bytes than it needs is accepted up to 5 bytes; a longer one, or a length of more than 32 bits, is an
// [ErrCorruptFrame]. A length that an int cannot hold, which takes a 32-bit machine, is an [ErrFrameTooLong].
func (Varint) Decode(data []byte) (msg []byte, n int, err error) {
	var length uint64
	head := 0
	for {
		if head == len(data) {
			return nil, head + 1, nil
		}
		b := data[head]
		if head == maxVarintLen-1 && b > 0x0f {
			return nil, 0, fmt.Errorf("%w: length varint of more than 32 bits", ErrCorruptFrame)
		}
		length |= uint64(b&0x7f) << (7 * head)
		head++
		if b < 0x80 {
			break
		}
	}
	if n, err = addLength(uint64(head), length); err != nil {
		return nil, 0, err
	}
	if n > len(data) {
		return nil, n, nil
	}
	return data[head:n:n], n, nil
}

// Append writes the length of msg, in as few bytes as it needs, and msg. A message of more than 4 GiB - 1 byte is an
// [ErrFrameTooLong].
func (Varint) Append(dst, msg []byte) ([]byte, error) {
	if err := checkVarint(uint64(len(msg))); err != nil {
		return dst, err
	}
	dst = slices.Grow(dst, maxVarintLen+len(msg))
	return append(binary.AppendUvarint(dst, uint64(len(msg))), msg...), nil
}

// checkVarint says whether a body of size bytes can be announced.
func checkVarint(size uint64) error {
	if size > math.MaxUint32 {
		return fmt.Errorf("%w: %d bytes, a varint announces up to %d", ErrFrameTooLong, size, uint32(math.MaxUint32))
	}
	return nil
}

// reserve sets aside what the length of a small message needs; seal moves the body of a larger one.
func (Varint) reserve() (int, error) { return 1, nil }

func (Varint) seal(dst []byte, start int) ([]byte, error) {
	size := uint64(len(dst) - start - 1) //nolint:gosec // a length is positive
	if err := checkVarint(size); err != nil {
		return nil, err
	}
	var head [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], size)
	dst = append(dst, head[1:n]...)
	copy(dst[start+n:], dst[start+1:])
	copy(dst[start:], head[:n])
	return dst, nil
}
