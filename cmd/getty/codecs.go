// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// text is what the messages of all codecs here are made of.
type text interface{ ~string | ~[]byte }

const (
	rawCodec  = "raw"
	lineCodec = "line"
)

// maxMessage is the default limit: common test suites send messages as long as that.
const maxMessage = 16 << 20

func codecFlag(fs *flag.FlagSet) *string {
	return fs.String("codec", rawCodec, "`NAME` of the framing: raw, line, len32 (4-byte big-endian length, then the body) or varint")
}

// withCodec calls the one of its functions that fits the named codec. The
// functions are the same generic one, made for both types of messages.
func withCodec(name string, bytes func(getty.Codec[[]byte]) error, lines func(getty.Codec[string]) error) error {
	switch name {
	case rawCodec:
		return bytes(codec.Raw{})
	case "len32":
		return bytes(codec.LengthField{})
	case "varint":
		return bytes(codec.Varint{})
	case lineCodec:
		return lines(codec.Line{})
	}
	return usageError(fmt.Sprintf("no codec %q, want raw, line, len32 or varint", name))
}

func compressFlag(fs *flag.FlagSet) *string {
	return fs.String("compress", getty.CompressNone.String(), "`METHOD`: none, flate, snappy or zstd, the same on both sides")
}

// compression finds a method by its name.
func compression(method string) (getty.Compression, error) {
	for c := getty.CompressNone; c <= getty.CompressZstd; c++ {
		if c.String() == method {
			return c, nil
		}
	}
	return 0, usageError(fmt.Sprintf("no compression %q, want none, flate, snappy or zstd", method))
}
