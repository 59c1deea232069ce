// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/getty-net/getty/internal/bufpool"
	"github.com/getty-net/getty/internal/inflate"
)

// deflate compresses and expands the messages of one session, as RFC 7692 has
// it. Without context takeover, the default, it owns nothing: encoders and
// decoders are borrowed for one message.
type deflate struct {
	bitsOut, bitsIn int // of the windows, 8 to 15
	// With context takeover each message may refer to those before it.
	keepOut, keepIn bool

	out  *deflater // only with keepOut; guarded by the session's lock
	past []byte    // the last bytes received, only with keepIn; the reader's
}

// deflate compresses a message into a buffer that is the caller's. It is called
// with the session's lock held if keepOut.
func (d *deflate) deflate(message []byte) *bufpool.Buf {
	z := d.out
	if z == nil {
		z = borrowDeflater(d.bitsOut)
		if d.keepOut {
			d.out = z
		} else {
			defer z.giveBack()
		}
	}
	packed := bufpool.Get(len(message)/2 + 64)
	packed.B = z.pack(packed.B, message)
	packed.B = packed.B[:len(packed.B)-len(flushTail)] // RFC 7692, section 7.2.1
	return packed
}

// readTail is what the sender has left out, and an end for the decoder.
const readTail = flushTail + flateTail

// unpacker is a decoder with what it reads. It takes messages in one piece:
// the decoder is faster by a fifth on a bytes.Reader than on one that it does
// not know.
type unpacker struct {
	r   io.Reader
	src bytes.Reader
}

var unpackers = sync.Pool{New: func() any {
	u := new(unpacker)
	u.r = flate.NewReader(&u.src)
	return u
}}

const (
	// swelling is how many times its size a message becomes that is measured before
	// more of it is made: it costs little, since so few symbols stand for so much.
	swelling = 16
	// maxSwelling is the most that DEFLATE has: 258 bytes for 2 bits.
	maxSwelling = 1032
)

// inflate expands a message into a buffer that is the caller's. It stops as
// soon as that is longer than limit, or than what has been read of the message
// may become, see MaxExpansion; and where a message swells, as soon as it is
// clear that it will be. Behind a block that is a last one more may follow (RFC
// 7692, section 7.2.1), but not so many that beginning anew is all there is to do.
func (d *deflate) inflate(message []byte, limit, ratio int) (*bufpool.Buf, error) {
	sum := expansion{ratio: int64(ratio)}
	packed := bufpool.Get(len(message) + len(readTail))
	defer bufpool.Put(packed)
	packed.B = append(append(packed.B, message...), readTail...)
	u := unpackers.Get().(*unpacker)
	defer unpackers.Put(u)
	u.src.Reset(packed.B)
	defer u.src.Reset(nil)
	if err := u.r.(flate.Resetter).Reset(&u.src, d.past); err != nil {
		return nil, fmt.Errorf("getty: inflate: %w", err)
	}
	buf := bufpool.Get(min(4*len(message), sum.room(len(message)), limit) + 1)
	for measured, ends := false, 0; ; {
		if len(buf.B) == cap(buf.B) {
			buf = grown(buf, limit)
		}
		room := buf.B[len(buf.B):cap(buf.B)]
		n, err := u.r.Read(room)
		buf.B = buf.B[:len(buf.B)+n]
		read, size := len(packed.B)-u.src.Len(), len(buf.B)
		most := min(limit, sum.room(read))
		if !measured && size <= most && size > swelling*read {
			measured = true
			if whole := min(limit, sum.room(len(packed.B))); len(packed.B) > whole/maxSwelling {
				size, most = inflate.Measure(packed.B, whole), whole
			}
		}
		switch {
		case size > most:
			bufpool.Put(buf)
			return nil, fmt.Errorf("%w: expands to more than %d bytes", ErrMessageTooLong, most)
		case err == io.EOF && u.src.Len() <= len(readTail):
			d.remember(buf.B)
			return buf, nil
		case err == io.EOF && ends < 16+read/256:
			ends++
			_ = u.r.(flate.Resetter).Reset(&u.src, d.history(buf.B)) // it has no error
		case err == io.EOF:
			bufpool.Put(buf)
			return nil, violation("compressed data has %d ends in %d bytes", ends, read)
		case err != nil:
			bufpool.Put(buf)
			return nil, violation("compressed data is corrupt: %v", err)
		}
	}
}

// history is what may be referred to behind the beginning of a message.
func (d *deflate) history(message []byte) []byte {
	if over := len(message) - 1<<maxWindowBits; over >= 0 {
		return message[over:]
	}
	return append(bytes.Clone(d.past), message...)
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
