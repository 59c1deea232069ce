// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"fmt"
)

// Compression says how the bytes of a stream are compressed. Both sides must
// say the same. It works below the codec: limits, watermarks and statistics
// count bytes as the codec sees them.
//
// Each side sends a preamble of 4 bytes first, the dialing one before the
// accepting one, as a part of the handshake: a peer with another compression,
// or none, is an error that wraps ErrCompression and names both. Each flush
// ends in a block that the peer can decode at once. A session holds no encoder
// and no decoder while it is idle.
type Compression uint8

// The compressions.
const (
	// CompressNone leaves the bytes as they are.
	CompressNone Compression = iota
	// CompressFlate is a DEFLATE stream (RFC 1951), sync-flushed.
	CompressFlate
	// CompressSnappy is Snappy's framing format: the fastest, and the weakest.
	CompressSnappy
	// CompressZstd is a sequence of Zstandard frames (RFC 8878), each of at most
	// 128 KiB of plaintext: smaller than flate's, and faster.
	CompressZstd
)

const compressRaw Compression = 0x80

// Raw is c without the preamble, for peers that are not getty, or an older one.
// A mismatch is not detected then: it shows as ErrCompression for bytes that
// are not of this format, or as messages that make no sense. CompressFlate.Raw
// and CompressSnappy.Raw are what dubbo-getty 1.5 calls CompressZip and
// CompressSnappy, whose writer holds small messages back until it closes. Under CompressFlate.Raw a session holds up to 32 KiB, to which
// the peer may refer, for its life.
func (c Compression) Raw() Compression {
	if c == CompressNone {
		return c
	}
	return c | compressRaw
}

// String returns "none", "flate", "snappy" or "zstd", "raw " in front of it for
// the raw variants.
func (c Compression) String() string {
	name := "invalid"
	switch c &^ compressRaw {
	case CompressNone:
		name = "none"
	case CompressFlate:
		name = "flate"
	case CompressSnappy:
		name = "snappy"
	case CompressZstd:
		name = "zstd"
	}
	if c.isRaw() {
		return "raw " + name
	}
	return name
}

func (c Compression) isRaw() bool { return c&compressRaw != 0 }

// valid reports whether c is one of the constants, or the Raw of one.
func (c Compression) valid() bool { return c != compressRaw && c&^compressRaw <= CompressZstd }

// check refuses compression for transports that have none or their own.
func (c Compression) check(kind string) error {
	if c == CompressNone || compresses(kind) {
		return nil
	}
	return &ConfigError{
		Field:   "Config.Compression",
		Problem: fmt.Sprintf("is %s, want none for %s://: it is for tcp, tls and unix", c, kind),
	}
}

// compresses reports whether Config.Compression is for the transport.
func compresses(kind string) bool {
	switch kind {
	case "udp", "ws", "wss":
		return false
	}
	return true
}

// preamble is what a side that compresses sends first. It begins with a byte
// that is neither text nor the first of a sensible length, so that most codecs
// refuse it at once. The two sides say which they are: a server that merely
// echoes what it gets does not pass for one that compresses.
func (c Compression) preamble(client bool) []byte {
	last := byte(c)
	if client {
		last |= preambleClient
	}
	return append([]byte(preambleMagic), last)
}

const (
	preambleMagic  = "\xf6gz"
	preambleSize   = len(preambleMagic) + 1
	preambleClient = 0x40
)

// parsePreamble looks at the first bytes of a peer, which is a client or a
// server. Without ok it takes more of them to know. The error says what they are
// instead.
func parsePreamble(data []byte, client bool) (c Compression, ok bool, err error) {
	data = data[:min(len(data), preambleSize)]
	n := min(len(data), len(preambleMagic))
	if string(data[:n]) != preambleMagic[:n] {
		return 0, false, fmt.Errorf("its first bytes are %q", data)
	}
	if len(data) < preambleSize {
		return 0, false, nil
	}
	last := data[len(preambleMagic)]
	if client != (last&preambleClient != 0) {
		return 0, false, errors.New("its preamble is that of this side")
	}
	return Compression(last &^ preambleClient), true, nil
}

// mismatch is the error for a peer that compresses differently.
func (c Compression) mismatch(peer Compression) error {
	return fmt.Errorf("%w: %s here, %s at the peer", ErrCompression, c, peer)
}
