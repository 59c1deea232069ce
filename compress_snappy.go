// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
)

// Snappy's framing format: chunks of a type, a length of 3 bytes, and a body.
// https://github.com/google/snappy/blob/main/framing_format.txt
const (
	snappyCompressed = 0x00
	snappyPlain      = 0x01
	snappySkippable  = 0x80 // from here on
	snappyIdentifier = 0xff

	snappyHeader = 4
	snappySum    = 4
	snappyMax    = 64 << 10 // of plaintext in a chunk

	snappyMagic = "sNaPpY"
	snappyHead  = "\xff\x06\x00\x00" + snappyMagic
)

var (
	errSnappyChunk = errors.New("unknown chunk")
	errSnappyStart = errors.New("no stream identifier")
	errChecksum    = errors.New("wrong checksum")
)

func snappyBound(n int) int { return snappyHeader + snappySum + s2.MaxEncodedLen(n) }

// snappyChunk appends p as one chunk.
func snappyChunk(dst, p []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, snappyHeader+snappySum)...)
	body := len(dst)
	block := s2.EncodeSnappy(dst[body:cap(dst):cap(dst)], p)
	kind := uint32(snappyCompressed)
	if len(block) < len(p)-len(p)/8 {
		dst = append(dst[:body], block...) // it is there already, but for a dst that was too small
	} else {
		kind = snappyPlain
		dst = append(dst[:body], p...)
	}
	binary.LittleEndian.PutUint32(dst[at:], kind|uint32(len(dst)-at-snappyHeader)<<8) //nolint:gosec // a piece has 17 bits at most
	binary.LittleEndian.PutUint32(dst[at+snappyHeader:], snappyChecksum(p))
	return dst
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snappyChecksum is masked, so that checksums of data with checksums stay good.
func snappyChecksum(p []byte) uint32 {
	c := crc32.Checksum(p, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// snappyReader reads chunks.
type snappyReader struct {
	begun bool // the stream identifier has come
}

func (r *snappyReader) next(data []byte) (size, plain int, skip bool, err error) {
	if len(data) < snappyHeader {
		return 0, 0, false, nil
	}
	kind, length := data[0], int(binary.LittleEndian.Uint32(data)>>8)
	size = snappyHeader + length
	switch {
	case kind == snappyIdentifier:
		if length != len(snappyMagic) {
			return 0, 0, false, errSnappyStart
		}
		return size, 0, false, nil
	case !r.begun:
		return 0, 0, false, errSnappyStart
	case kind >= snappySkippable:
		return size, 0, true, nil
	case kind > snappyPlain:
		return 0, 0, false, errSnappyChunk
	case length < snappySum || length > snappySum+s2.MaxEncodedLen(snappyMax):
		return 0, 0, false, errTooLarge
	case kind == snappyPlain:
		plain = length - snappySum
	case size > len(data):
		return size, 0, false, nil
	default:
		if plain, err = snappy.DecodedLen(data[snappyHeader+snappySum : size]); err != nil {
			return 0, 0, false, err
		}
	}
	if plain > snappyMax {
		return 0, 0, false, errTooLarge
	}
	return size, plain, false, nil
}

func (r *snappyReader) expand(dst, chunk []byte) (int, error) {
	if chunk[0] == snappyIdentifier {
		r.begun = true
		if string(chunk[snappyHeader:]) != snappyMagic {
			return 0, errSnappyStart
		}
		return 0, nil
	}
	body := chunk[snappyHeader+snappySum:]
	if chunk[0] == snappyPlain {
		if copy(dst, body) < len(body) {
			return 0, errTooLarge
		}
	} else if n, err := snappy.DecodedLen(body); err != nil || n > len(dst) {
		return 0, errTooLarge
	} else if _, err := snappy.DecodeStrict(dst, body); err != nil {
		return 0, err
	}
	if snappyChecksum(dst) != binary.LittleEndian.Uint32(chunk[snappyHeader:]) {
		return 0, errChecksum
	}
	return len(dst), nil
}
