// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/getty-net/getty/internal/bufpool"
)

// recordHeader is the length in front of each packet in a session's buffers.
// It is never on the wire.
const recordHeader = 4

// record takes the first record out of data: the packet, and the bytes that it
// takes up. used == 0: there is none.
func record(data []byte) (unit []byte, used int) {
	if len(data) < recordHeader {
		return nil, 0
	}
	n := binary.NativeEndian.Uint32(data)
	if n > maxRecord || int(n) > len(data)-recordHeader {
		return nil, 0
	}
	used = recordHeader + int(n)
	return data[recordHeader:used:used], used
}

// maxRecord is beyond every packet.
const maxRecord = 1 << 16

// addRecord copies a packet behind the unused bytes of in, as a record.
func (in *window) addRecord(p []byte) {
	need := recordHeader + len(p)
	switch {
	case in.buf == nil:
		in.buf = bufpool.Get(need)
	case in.w+need > cap(in.buf.B):
		old := in.buf
		in.buf = bufpool.Get(max(2*in.len(), in.len()+need))
		n := copy(in.buf.B[:cap(in.buf.B)], old.B[in.r:in.w])
		in.r, in.w = 0, n
		bufpool.Put(old)
	}
	b := in.buf.B[:cap(in.buf.B)]
	binary.NativeEndian.PutUint32(b[in.w:], uint32(len(p))) //nolint:gosec // a packet has 16 bits
	copy(b[in.w+recordHeader:], p)
	in.w += need
	in.headers += recordHeader
}

// packetFraming is the framing of UDP, and the part of its conns that is the
// same for an accepted session and for a dialed one.
type packetFraming struct {
	c     *core
	io    packetIO
	to    udpDest
	slow  bool // sending may wait for long: it is the drainer's
	count packetCounters
}

// bind tells the conn its session.
func (f *packetFraming) bind(c *core) {
	f.c = c
	c.packets = &f.count
}

//nolint:unparam // framing wants an error
func (f *packetFraming) next(data []byte) (unit []byte, used int, ok bool, err error) {
	unit, used = record(data)
	return unit, used, used > 0, nil
}

// spoiled counts a packet. The next one begins anew.
//
//nolint:unparam // framing wants an error
func (f *packetFraming) spoiled(err error) error {
	f.count.spoiled.Add(1)
	f.c.ep.log.Debug("getty: packet spoiled", "session", f.c.id, "error", err)
	return nil
}

func (*packetFraming) open() error  { return nil }
func (*packetFraming) opened()      {}
func (*packetFraming) midway() bool { return false }
func (*packetFraming) eof() error   { return io.EOF }
func (*packetFraming) release()     {}
func (*packetFraming) drop()        {}

func (*packetFraming) begin(dst []byte) []byte { return append(dst, make([]byte, recordHeader)...) }

func (*packetFraming) end(dst []byte, start int) ([]byte, error) {
	n := len(dst) - start - recordHeader
	if n > maxPayload {
		return dst[:start], fmt.Errorf("%w: %d bytes, at most %d fit", ErrPacketTooLong, n, maxPayload)
	}
	binary.NativeEndian.PutUint32(dst[start:], uint32(n)) //nolint:gosec // see above
	return dst, nil
}

func (*packetFraming) prepared(*Prepared) []byte           { return nil }
func (*packetFraming) ping(dst []byte) []byte              { return dst }
func (*packetFraming) farewell(dst []byte, _ error) []byte { return dst }
func (*packetFraming) halfClose() bool                     { return true }

func (f *packetFraming) tryWrite(p []byte) (int, error) {
	if f.slow && len(p) > 0 {
		return 0, errAgain
	}
	return f.sendAll(p)
}

// waitWrite is what conns make write of. wait has to wait for room by the clock,
// and to return false when the conn is closed: a socket gets room without the
// peer's help, and that of many sessions must not be held by one that waits.
func (f *packetFraming) waitWrite(p []byte, wait func() bool) (int, error) {
	if f.slow {
		_, n := record(p)
		return f.sendAll(p[:n])
	}
	for wait() {
		if n, err := f.sendAll(p); n > 0 || err != errAgain {
			return n, err
		}
	}
	return 0, net.ErrClosed
}

// udpRetry is how long a writer waits when the socket's buffer is full.
const udpRetry = time.Millisecond

// sendAll sends whole records. One that cannot be sent is left out: counted, and
// refused to the sender if that is the one who writes.
func (f *packetFraming) sendAll(p []byte) (done int, err error) {
	again := false
	for done < len(p) {
		packets, n, err := f.io.send(&f.to, p[done:])
		done += n
		f.c.headers += packets * recordHeader
		switch {
		case err == nil:
			again = false
			continue
		case err == errAgain || hardError(err):
			return done, err
		}
		f.soft(err)
		if !again && unreachable(err) {
			again = true // the error is about an earlier packet
			continue
		}
		again = false
		_, n = record(p[done:])
		f.count.sendErrors.Add(1)
		f.count.left = leftOut{at: done, err: sendFault(err)}
		f.c.headers += n // none of it has left
		done += n
	}
	return done, nil
}

func (f *packetFraming) soft(err error) {
	f.count.softErrors.Add(1)
	f.c.ep.log.Debug("getty: soft error", "session", f.c.id, "error", err)
}

// leftOut is what a conn says about a unit that it could not send, although it
// goes on. The writer reads it together with how much was written.
type leftOut struct {
	at  int // where the unit begins in the bytes that were to be written
	err error
}

// refusal is the error of the sender whose frame began at start. It is called
// by the writer.
func (c *core) refusal(start int) error {
	if c.packets == nil {
		return nil
	}
	l := c.packets.left
	c.packets.left = leftOut{}
	if l.err == nil || l.at < start {
		return nil
	}
	return &SendError{Err: l.err}
}
