// SPDX-License-Identifier: Apache-2.0

package getty

import "github.com/getty-net/getty/internal/bufpool"

// window is the span of received bytes that no message has used yet. Its buffer
// is borrowed when bytes arrive and given back when the last one was used; it
// grows with what has arrived, never with what was announced. It is owned by
// the session's reader.
type window struct {
	buf    *bufpool.Buf // nil while nothing is held
	r, w   int          // unused bytes are buf.B[r:w]
	hint   uint8        // index into readSizes, follows the traffic
	waited bool         // it was parked: the last read had to wait
	single bool         // it is to be looked at after each read
	slowed bool         // no read takes more than slowSize

	headers int // bytes of the last read that were not on the wire; see addRecord
}

// readSizes are the buffers that a read starts with. The largest holds sixteen
// messages of 16 KiB: a peer that sends them together gets its answers together,
// and goes on doing so. In smaller pieces both sides would fall into lockstep,
// with a system call for each message.
var readSizes = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10, maxBatch}

const slowSize = 64 << 10

// maxBatch is how many bytes are collected, at most, before messages are taken
// out of them.
const maxBatch = 512 << 10

func (in *window) len() int { return in.w - in.r }

// bytes returns the unused bytes, valid until the next call of another method.
func (in *window) bytes() []byte {
	if in.buf == nil {
		return nil
	}
	return in.buf.B[in.r:in.w]
}

// used marks the first n bytes as done with.
func (in *window) used(n int) {
	in.r += n
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
}

// add puts p behind the unused bytes.
func (in *window) add(p []byte) {
	for len(p) > 0 {
		n := copy(in.space(), p)
		in.filled(n)
		p = p[n:]
	}
}

// moved returns the window for another owner, and leaves an empty one.
func (in *window) moved() window {
	w := *in
	*in = window{}
	return w
}

// space returns room for a read behind the unused bytes.
func (in *window) space() []byte {
	b := in.room()
	if in.slowed {
		b = b[:min(len(b), slowSize)]
	}
	return b
}

// room is all that there is, at least a quarter of the buffer.
func (in *window) room() []byte {
	if in.buf == nil {
		in.buf = bufpool.Get(readSizes[in.hint])
	}
	b := in.buf.B[:cap(in.buf.B)]
	if len(b)-in.w >= len(b)/4 && len(b) >= readSizes[in.hint] {
		return b[in.w:]
	}
	return in.makeSpace()
}

// makeSpace moves the unused bytes to the front, of a buffer twice the size if
// they fill most of this one, or of the size that a read starts with.
func (in *window) makeSpace() []byte {
	old, size := in.buf, cap(in.buf.B)
	if in.len() > size-size/4 {
		size *= 2
	}
	if size = max(size, readSizes[in.hint]); size > cap(old.B) {
		in.buf = bufpool.Get(size)
	}
	b := in.buf.B[:cap(in.buf.B)]
	n := copy(b, old.B[in.r:in.w])
	in.r, in.w = 0, n
	if in.buf != old {
		bufpool.Put(old)
	}
	return b[n:]
}

// filled notes that n bytes were read into the slice that space returned, and
// lets the size of the next buffer follow.
func (in *window) filled(n int) {
	room := cap(in.buf.B) - in.w
	in.w += n
	switch {
	case n == room && int(in.hint) < len(readSizes)-1:
		in.hint++
	case in.hint > 0 && in.w < readSizes[in.hint-1]/2:
		in.hint--
	}
}

// park is called before waiting, and notes that: an empty window gives its buffer back, a
// nearly empty one moves to a buffer of its size until more arrives.
func (in *window) park() {
	in.waited = true
	switch {
	case in.buf == nil:
	case in.r == in.w:
		in.release()
	case in.len() <= cap(in.buf.B)/16 && cap(in.buf.B) > readSizes[0]:
		small := bufpool.Get(in.len())
		b := small.B[:cap(small.B)]
		n := copy(b, in.bytes())
		bufpool.Put(in.buf)
		in.buf, in.r, in.w = small, 0, n
	}
}

// slow lets reads be small and few from now on, and holds no more than there is.
func (in *window) slow() {
	in.park()
	in.single, in.slowed = true, true
	in.hint = min(in.hint, 2) // slowSize
}

// release gives the buffer back with whatever it holds.
func (in *window) release() {
	bufpool.Put(in.buf)
	in.buf, in.r, in.w = nil, 0, 0
}
