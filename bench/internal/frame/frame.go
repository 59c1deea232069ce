// SPDX-License-Identifier: Apache-2.0

// Package frame builds and checks the stream of frames that the load generator sends: a 4-byte big-endian length
// of the body, then the body; or the frames of WebSocket. The body starts with a sequence number, so that every byte
// of the stream is known in advance and a lost, doubled or reordered frame shows at once.
package frame

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	// Header is the size of the length prefix.
	Header = 4
	// MinBody is the smallest body that has room for the sequence number.
	MinBody = 8

	// sample is how often the whole body is compared; the length and the sequence number are always checked.
	sample = 64
)

// Template is a run of encoded frames that a sender stamps with sequence numbers and writes from.
type Template struct {
	header int // bytes before the body
	size   int // of one frame, header included
	buf    []byte
	mask   uint64 // of the sequence number
	fixed  bool   // there is no sequence number
}

// NewTemplate returns a template of n frames with bodies of the given size, which must be at least MinBody.
func NewTemplate(body, n int) *Template {
	return repeat(binary.BigEndian.AppendUint32(nil, uint32(body)), pattern(body), n) //nolint:gosec // in range
}

func repeat(header, body []byte, n int) *Template {
	return &Template{
		header: len(header), size: len(header) + len(body),
		buf: bytes.Repeat(append(bytes.Clone(header), body...), n),
	}
}

// pattern returns the body of every frame; its first MinBody bytes are overwritten by the sequence number.
func pattern(body int) []byte {
	p := make([]byte, body)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

// Size returns the bytes of one frame.
func (t *Template) Size() int { return t.size }

// Frames returns up to n consecutive frames, the first of which has the sequence number seq. The slice is valid
// until the next call.
func (t *Template) Frames(seq uint64, n int) []byte {
	n = min(n, len(t.buf)/t.size)
	if t.fixed {
		return t.buf[:n*t.size]
	}
	for i := range n {
		binary.BigEndian.PutUint64(t.buf[i*t.size+t.header:], t.mask^(seq+uint64(i)))
	}
	return t.buf[:n*t.size]
}

// Checker verifies the echoed stream of one connection, in pieces of any size.
type Checker struct {
	header int
	want   []byte // the frame that is expected, stamped with seq
	seq    uint64
	pos    int // bytes of want that have arrived
}

// NewChecker returns a checker for a stream of frames with bodies of the given size, from sequence number 0.
func NewChecker(body int) *Checker { return expect(NewTemplate(body, 1)) }

func expect(t *Template) *Checker {
	c := &Checker{header: t.header, want: t.buf}
	c.stamp(0)
	return c
}

// Share returns a checker for another connection with the same body size. All checkers that share must be used
// by one goroutine: the expected frame is kept once, not once per connection.
func (c *Checker) Share() *Checker { return &Checker{header: c.header, want: c.want} }

func (c *Checker) stamp(seq uint64) {
	c.seq = seq
	binary.BigEndian.PutUint64(c.want[c.header:], seq)
}

// Consume checks data against the expected stream and returns how many frames it completed.
func (c *Checker) Consume(data []byte) (frames int, err error) {
	c.stamp(c.seq)
	for len(data) > 0 {
		n := min(len(data), len(c.want)-c.pos)
		if err := c.check(data[:n]); err != nil {
			return frames, err
		}
		data = data[n:]
		if c.pos += n; c.pos == len(c.want) {
			frames++
			c.pos = 0
			c.stamp(c.seq + 1)
		}
	}
	return frames, nil
}

// check compares the bytes that arrived at c.pos: the prefix always, the rest of the body in every sample-th frame.
func (c *Checker) check(data []byte) error {
	want := c.want[c.pos : c.pos+len(data)]
	if c.seq%sample != 0 {
		prefix := c.header + MinBody
		if c.pos >= prefix {
			return nil
		}
		n := min(len(data), prefix-c.pos)
		data, want = data[:n], want[:n]
	}
	if !bytes.Equal(data, want) {
		return fmt.Errorf("frame %d differs within the %d bytes from offset %d", c.seq, len(data), c.pos)
	}
	return nil
}

// Received returns how many whole frames have been seen.
func (c *Checker) Received() uint64 { return c.seq }
