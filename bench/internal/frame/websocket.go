// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The parts of a WebSocket header (RFC 6455, section 5.2) that occur here: all messages are binary and in one frame.
const (
	wsBinary     = 0x82 // FIN and the opcode
	wsCompressed = 0x40 // RSV1, a compressed message
	wsMasked     = 0x80
)

// mask is the masking key of all frames of a client. A real one would be random, which costs a server nothing more.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// wsHeader encodes a header without a masking key.
func wsHeader(first, masked byte, n int) []byte {
	switch {
	case n < 126:
		return []byte{first, masked | byte(n)} //nolint:gosec // in range
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{first, masked | 126}, uint16(n))
	}
	return binary.BigEndian.AppendUint64([]byte{first, masked | 127}, uint64(n))
}

func clientFrames(first byte, body []byte, n int) *Template {
	body = bytes.Clone(body)
	for i := range body {
		body[i] ^= mask[i%len(mask)]
	}
	return repeat(append(wsHeader(first, wsMasked, len(body)), mask[:]...), body, n)
}

// NewWebSocketTemplate returns a template of n masked frames of a client.
func NewWebSocketTemplate(body, n int) *Template {
	t := clientFrames(wsBinary, pattern(body), n)
	t.mask = uint64(binary.BigEndian.Uint32(mask[:]))
	t.mask |= t.mask << 32
	return t
}

// NewWebSocketChecker returns a checker for the frames that a server echoes.
func NewWebSocketChecker(body int) *Checker {
	return expect(repeat(wsHeader(wsBinary, 0, body), pattern(body), 1))
}

// text is a body that compresses about as well as what programs tell each other.
func text(body int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < body; i++ {
		fmt.Fprintf(&b, `{"id":%d,"name":"session-%d","open":true,"bytes":%d},`, i, i*7919%1000, i*104729%100000)
	}
	return b.Bytes()[:body]
}

// NewDeflateTemplate returns a template of n masked frames of a client, compressed without context takeover. They
// are all the same, since they are compressed in advance.
func NewDeflateTemplate(body, n int) (*Template, error) {
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text(body)); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	t := clientFrames(wsBinary|wsCompressed, bytes.TrimSuffix(packed.Bytes(), []byte("\x00\x00\xff\xff")), n)
	t.fixed = true
	return t, nil
}

// DeflateChecker verifies that what comes back are compressed messages. Each compressor has its own way, so only
// the headers can be checked, and of each connection the first message.
type DeflateChecker struct {
	body   int
	head   []byte // an incomplete header
	left   int    // bytes of the body that are to come
	first  []byte
	frames uint64
}

// NewDeflateChecker returns a checker for bodies that were so long before they were compressed.
func NewDeflateChecker(body int) *DeflateChecker { return &DeflateChecker{body: body} }

// Consume checks data and returns how many frames it completed.
func (c *DeflateChecker) Consume(data []byte) (frames int, err error) {
	for len(data) > 0 {
		if c.left == 0 {
			c.head, data = append(c.head, data[0]), data[1:]
			if c.left, err = c.header(); err != nil {
				return frames, err
			}
			if c.left > 0 {
				c.head = c.head[:0]
			}
			continue
		}
		n := min(c.left, len(data))
		if c.frames == 0 {
			c.first = append(c.first, data[:n]...)
		}
		data = data[n:]
		if c.left -= n; c.left > 0 {
			continue
		}
		if err := c.complete(); err != nil {
			return frames, err
		}
		frames++
	}
	return frames, nil
}

// header returns the length of the body, or 0 if more bytes are needed.
func (c *DeflateChecker) header() (length int, err error) {
	h := c.head
	if h[0] != wsBinary|wsCompressed {
		return 0, fmt.Errorf("frame %d starts with %#x, not with a compressed binary message", c.frames, h[0])
	}
	switch {
	case len(h) == 2 && h[1] < 126:
		length = int(h[1])
	case len(h) == 4 && h[1] == 126:
		length = int(binary.BigEndian.Uint16(h[2:]))
	case len(h) == 10:
		length = int(binary.BigEndian.Uint64(h[2:])) //nolint:gosec // in range
	default:
		return 0, nil
	}
	if length <= 0 || length > 2*c.body+64 {
		return 0, fmt.Errorf("frame %d has %d bytes, for a body of %d", c.frames, length, c.body)
	}
	return length, nil
}

// complete counts a frame. The first must expand to what was sent.
func (c *DeflateChecker) complete() error {
	c.frames++
	if c.first == nil {
		return nil
	}
	got, err := io.ReadAll(flate.NewReader(bytes.NewReader(append(c.first, "\x00\x00\xff\xff\x01\x00\x00\xff\xff"...))))
	c.first = nil
	if err == nil && !bytes.Equal(got, text(c.body)) {
		err = errors.New("it differs")
	}
	if err != nil {
		return fmt.Errorf("the first message: %w", err)
	}
	return nil
}

// Received returns how many whole frames have been seen.
func (c *DeflateChecker) Received() uint64 { return c.frames }
