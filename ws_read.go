// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"unicode/utf8"

	"github.com/getty-net/getty/internal/bufpool"
)

// webSocket is the framing of ws:// and wss://, an incremental reader and writer
// of RFC 6455's frames between the session's bytes and its codec. A message in
// one frame stays where it has arrived; only fragmented and compressed ones are
// put together in a buffer, which is borrowed for as long.
//
// The fields of a byte stand together, so that an idle session stays small.
type webSocket struct {
	c *core

	// Set by the handshake, immutable afterwards.
	deflate  *deflate // nil: not agreed on
	protocol string
	opening  *wsOpening                   // until the session is open
	head     atomic.Pointer[string]       // the peer's half of the handshake, unless
	request  atomic.Pointer[http.Request] // it came through ServeHTTP

	// The reader's.
	h        frameHeader  // of the frame at the front of the window
	seen     int          // bytes of its payload that are unmasked and checked
	part     *bufpool.Buf // the fragments so far, and the message until release
	inflated *bufpool.Buf // the message until release

	asked atomic.Bool   // for Upgrade
	last  atomic.Uint32 // opcode of the last message received; 0: none

	client bool // immutable
	// The reader's too.
	have       bool      // h is read
	inMessage  bool      // fragments are to follow
	op         opcode    // of the message
	compressed bool      // the message is
	cares      attention // for what comes
	utf8       utf8Check

	// Guarded by the session's mu.
	said    bool  // the farewell is on its way
	heard   bool  // the peer's close frame has come
	failed  bool  // the peer is not understood any more
	reserve uint8 // room for the header of the next frame
	plain   bool  // set by Configure: nothing that is sent is compressed
}

// attention is what a session still wants of its peer.
type attention uint8

const (
	everything attention = iota
	deaf                 // what comes does not matter any more
	over                 // nor does the end, which is not waited for
)

func newWebSocket(c *core, client bool) *webSocket {
	return &webSocket{c: c, client: client, reserve: uint8(headerSize(0, client))} //nolint:gosec // at most 14
}

// next reads frames up to the end of a message.
func (w *webSocket) next(data []byte) (unit []byte, used int, ok bool, err error) {
	w.release()
	switch w.cares {
	case over:
		return nil, len(data), false, io.EOF
	case deaf:
		return nil, len(data), false, nil
	}
	unit, used, ok, err = w.frame(data)
	if err == nil {
		return unit, used, ok, nil
	}
	w.cares = deaf
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	_, w.heard = errors.AsType[*CloseError](err)
	w.failed = !w.heard
	if w.heard && w.said { // the closing handshake is complete
		if w.client {
			return nil, used, false, nil // it is the server who closes the conn
		}
		w.cares = over // the writer may have ended before it could half-close
	}
	return nil, used, false, err
}

// frame looks at the frame at the front of data, as far as it has arrived.
func (w *webSocket) frame(data []byte) (unit []byte, used int, ok bool, err error) {
	if !w.have {
		if w.h, err = parseFrameHeader(data, w.room(data)); err != nil || w.h.size == 0 {
			return nil, 0, false, err
		}
		if err := w.begins(); err != nil {
			return nil, 0, false, err
		}
		w.have, w.seen = true, 0
	}
	h := &w.h
	arrived := min(len(data)-h.size, h.length)
	if fresh := data[h.size+w.seen : h.size+arrived]; len(fresh) > 0 {
		if h.masked {
			mask(fresh, h.mask, w.seen)
		}
		w.seen = arrived
		if w.op == opText && !w.compressed && !h.op.isControl() && !w.utf8.write(fresh) {
			return nil, 0, false, ErrInvalidUTF8
		}
	}
	if arrived < h.length {
		return nil, 0, false, nil
	}
	w.have = false
	used = h.size + h.length
	payload := data[h.size:used]
	if h.op.isControl() {
		return nil, used, false, w.control(h.op, payload)
	}
	unit, ok, err = w.data(payload)
	return unit, used, ok, err
}

// room is how long the data frame at the front of data may be.
func (w *webSocket) room(data []byte) int {
	limit := w.c.lim.maxMessage
	compressed := w.compressed
	if !w.inMessage {
		compressed = w.deflate != nil && len(data) > 0 && data[0]&bitRSV1 != 0
	}
	if compressed {
		// What cannot be compressed gets longer: by a sixteenth with the most
		// frugal settings of zlib, which itself promises an eighth at most.
		limit += limit/7 + 64
	}
	if w.inMessage {
		limit -= len(w.part.B)
	}
	return limit
}

// begins checks a header against what came before (RFC 6455, section 5.4).
func (w *webSocket) begins() error {
	h := &w.h
	switch {
	case h.masked == w.client:
		if w.client {
			return violation("a server's frame is masked")
		}
		return violation("a client's frame is not masked")
	case h.op.isControl():
		return nil
	case h.op == opContinuation && !w.inMessage:
		return violation("a continuation without a beginning")
	case h.op != opContinuation && w.inMessage:
		return violation("a new message before the end of the last")
	case h.rsv1 && (w.deflate == nil || h.op == opContinuation):
		return violation("reserved bits are set")
	}
	if h.op != opContinuation {
		w.op, w.compressed = h.op, h.rsv1
		w.utf8 = utf8Check{}
	}
	return nil
}

// data adds the payload of a data frame to the message, and returns the message
// if it is complete.
func (w *webSocket) data(payload []byte) (message []byte, ok bool, err error) {
	message = payload
	if w.inMessage || !w.h.fin {
		if w.part == nil {
			w.part = bufpool.Get(len(payload))
		}
		w.part.B = append(w.part.B, payload...)
		message = w.part.B
	}
	if w.inMessage = !w.h.fin; w.inMessage {
		return nil, false, nil
	}
	if w.c.closing() {
		return message, true, nil // nobody looks at it
	}
	if w.compressed {
		if w.inflated, err = w.deflate.inflate(message, w.c.lim.maxMessage, w.c.lim.peer.MaxExpansion); err != nil {
			return nil, false, err
		}
		message = w.inflated.B
		if w.op == opText && !utf8.Valid(message) {
			return nil, false, ErrInvalidUTF8
		}
	} else if w.op == opText && !w.utf8.done() {
		return nil, false, ErrInvalidUTF8
	}
	w.last.Store(uint32(w.op))
	return message, true, nil
}

// control handles a control frame. A close frame is its error.
func (w *webSocket) control(op opcode, payload []byte) error {
	switch op {
	case opPing:
		payload = bytes.Clone(payload) // it may have to wait
		w.c.sendControl(func(dst []byte) []byte { return w.appendFrame(dst, opPong, payload) }, true)
	case opClose:
		ce, err := parseClose(payload)
		if err != nil {
			return err
		}
		return ce
	}
	return nil
}

// spoiled ends the session: other than a packet, a message cannot be skipped
// without the peer's knowing.
func (w *webSocket) spoiled(err error) error { return unitError{err} }

func (w *webSocket) release() {
	if w.inflated != nil {
		bufpool.Put(w.inflated)
		w.inflated = nil
	}
	if w.part != nil && !w.inMessage {
		bufpool.Put(w.part)
		w.part = nil
	}
}

func (w *webSocket) drop() {
	w.inMessage = false
	w.release()
}

func (w *webSocket) midway() bool { return w.inMessage }

// eof is what the end of the stream means: without a close frame it is not clean.
func (w *webSocket) eof() error { return errNoCloseFrame }
