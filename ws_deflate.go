// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/getty-net/getty/internal/bufpool"
)

// deflate compresses and expands the messages of one session, as RFC 7692 has
// it. Without context takeover, the default, it owns nothing: encoders and
// decoders are borrowed for one message.
type deflate struct {
	bitsOut, bitsIn int // of the windows, 8 to 15
	// With context takeover each message may refer to those before it.
	keepOut, keepIn bool

	out  *packer // only with keepOut; guarded by the session's lock
	past []byte  // the last bytes received, only with keepIn; the reader's
}

const maxWindowBits = 15

// deflateTail is what a flush ends in and RFC 7692, section 7.2.1, leaves out,
// and a last empty block behind it, so that a decoder sees an end.
const (
	flushTail = "\x00\x00\xff\xff"
	readTail  = flushTail + "\x01\x00\x00\xff\xff"
)

// packer is an encoder with the buffer that it writes to.
type packer struct {
	w   *flate.Writer
	buf *bufpool.Buf
}

// Write is for w.
func (p *packer) Write(b []byte) (int, error) {
	p.buf.B = append(p.buf.B, b...)
	return len(b), nil
}

// packers are shared by the process, one pool for each size of window.
var packers [maxWindowBits + 1]sync.Pool

func newPacker(bits int) (*packer, error) {
	p := new(packer)
	var err error
	if bits < maxWindowBits {
		p.w, err = flate.NewWriterWindow(p, 1<<bits)
	} else {
		p.w, err = flate.NewWriter(p, flate.BestSpeed)
	}
	return p, err
}

// deflate compresses a message into a buffer that is the caller's. It is called
// with the session's lock held if keepOut.
func (d *deflate) deflate(message []byte) (packed *bufpool.Buf, err error) {
	p := d.out
	if p == nil {
		if p, _ = packers[d.bitsOut].Get().(*packer); p != nil {
			p.w.Reset(p)
		} else if p, err = newPacker(d.bitsOut); err != nil {
			return nil, fmt.Errorf("getty: deflate: %w", err)
		}
		if d.keepOut {
			d.out = p
		} else {
			defer packers[d.bitsOut].Put(p)
		}
	}
	p.buf = bufpool.Get(len(message)/2 + 64)
	_, err = p.w.Write(message)
	if err == nil {
		err = p.w.Flush()
	}
	packed, p.buf = p.buf, nil
	if n := len(packed.B) - len(flushTail); err == nil && n > 0 && string(packed.B[n:]) == flushTail {
		packed.B = packed.B[:n]
		return packed, nil
	}
	bufpool.Put(packed)
	if err == nil {
		err = errors.New("no flush marker")
	}
	return nil, fmt.Errorf("getty: deflate: %w", err)
}

// unpacker is a decoder with what it reads: a message and the tail.
type unpacker struct {
	r    io.Reader
	data []byte
	tail string
}

// Read and ReadByte are for r.
func (u *unpacker) Read(b []byte) (n int, err error) {
	if len(u.data) == 0 && len(u.tail) == 0 {
		return 0, io.EOF
	}
	n = copy(b, u.data)
	u.data = u.data[n:]
	m := copy(b[n:], u.tail)
	u.tail = u.tail[m:]
	return n + m, nil
}

func (u *unpacker) ReadByte() (b byte, err error) {
	switch {
	case len(u.data) > 0:
		b, u.data = u.data[0], u.data[1:]
	case len(u.tail) > 0:
		b, u.tail = u.tail[0], u.tail[1:]
	default:
		return 0, io.EOF
	}
	return b, nil
}

var unpackers = sync.Pool{New: func() any {
	u := new(unpacker)
	u.r = flate.NewReader(u)
	return u
}}

// inflate expands a message into a buffer that is the caller's. It stops as
// soon as that is longer than limit.
func (d *deflate) inflate(message []byte, limit int) (*bufpool.Buf, error) {
	u := unpackers.Get().(*unpacker)
	defer unpackers.Put(u)
	u.data, u.tail = message, readTail
	if err := u.r.(flate.Resetter).Reset(u, d.past); err != nil {
		return nil, fmt.Errorf("getty: inflate: %w", err)
	}
	buf := bufpool.Get(min(4*len(message), limit) + 1)
	for {
		if len(buf.B) == cap(buf.B) {
			buf = grown(buf, limit)
		}
		room := buf.B[len(buf.B):cap(buf.B)]
		n, err := u.r.Read(room)
		buf.B = buf.B[:len(buf.B)+n]
		switch {
		case len(buf.B) > limit:
			bufpool.Put(buf)
			return nil, fmt.Errorf("%w: expands to more than %d bytes", ErrMessageTooLong, limit)
		case err == io.EOF:
			d.remember(buf.B)
			u.data = nil
			return buf, nil
		case err != nil:
			bufpool.Put(buf)
			return nil, violation("compressed data is corrupt: %v", err)
		}
	}
}

// grown moves the bytes of a full buffer to one of twice the size.
func grown(buf *bufpool.Buf, limit int) *bufpool.Buf {
	bigger := bufpool.Get(min(2*cap(buf.B), max(limit, cap(buf.B))+1))
	bigger.B = append(bigger.B, buf.B...)
	bufpool.Put(buf)
	return bigger
}

// remember keeps the end of a message for those that refer to it.
func (d *deflate) remember(message []byte) {
	if !d.keepIn {
		return
	}
	size := 1 << d.bitsIn
	if len(message) >= size {
		d.past = append(d.past[:0], message[len(message)-size:]...)
		return
	}
	if over := len(d.past) + len(message) - size; over > 0 {
		d.past = append(d.past[:0], d.past[over:]...)
	}
	d.past = append(d.past, message...)
}
