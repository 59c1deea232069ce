// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"unicode/utf8"

	"github.com/getty-net/getty/internal/bufpool"
)

// The outgoing half of webSocket. All of it runs under the session's lock, on
// the session's one write path, so control frames never come between the bytes
// of a message. One Send is one message in one frame.

// noHeader is room for the longest header.
var noHeader [2 + 8 + maskSize]byte

// begin leaves room for a header of the size that the last frame had.
func (w *webSocket) begin(dst []byte) []byte { return append(dst, noHeader[:w.reserve]...) }

// end makes a frame of the message behind the room that begin left.
func (w *webSocket) end(dst []byte, start int) ([]byte, error) {
	reserve := int(w.reserve)
	op, at := w.messageType(), start+reserve
	if op == opText && !utf8.Valid(dst[at:]) {
		return dst[:start], ErrInvalidUTF8
	}
	compressed := false
	if w.deflate != nil && !w.plain && len(dst) > at {
		packed := w.deflate.deflate(dst[at:])
		// A decoder with context must see every message that the encoder saw.
		if compressed = w.deflate.keepOut || len(packed.B) < len(dst)-at; compressed {
			w.c.peak = max(w.c.peak, uint32(min(len(dst), maxOutSize))) //nolint:gosec // limited
			dst = append(dst[:at], packed.B...)
		}
		bufpool.Put(packed)
	}
	n := len(dst) - at
	if size := headerSize(n, w.client); size != reserve {
		if size > reserve {
			dst = append(dst, noHeader[:size-reserve]...)
		}
		copy(dst[start+size:], dst[at:at+n])
		dst = dst[:start+size+n]
		w.reserve = uint8(size) //nolint:gosec // at most 14
	}
	putFrameHeader(dst[start:], op, compressed, w.client)
	return dst, nil
}

// messageType is the opcode of messages that are sent now.
func (w *webSocket) messageType() opcode {
	switch w.c.ep.cfg.WebSocket.MessageType {
	case MessageText:
		return opText
	case MessageLast:
		if op := opcode(w.last.Load()); op != 0 { //nolint:gosec // an opcode was stored
			return op
		}
	}
	return opBinary
}

// readyKey is what frames of a prepared message depend on.
type readyKey struct {
	op   opcode
	bits int // of the deflate window; 0: not compressed
}

// prepared makes the frame once for all servers' sessions of the same settings.
// Clients mask each frame with a key of its own, and with context takeover a
// frame depends on what was sent before.
func (w *webSocket) prepared(p *Prepared) []byte {
	if w.c.is(stateNew) { // Configure may decide yet, and nothing is sent
		return nil
	}
	if w.client || (w.deflate != nil && w.deflate.keepOut && !w.plain) {
		return nil
	}
	key := readyKey{op: w.messageType()}
	if w.deflate != nil && !w.plain && len(p.frame) > 0 {
		key.bits = w.deflate.bitsOut
	}
	if ready, ok := p.ready.Load(key); ok {
		return ready.([]byte)
	}
	if key.op == opText && !utf8.Valid(p.frame) {
		return nil // end has the error for it
	}
	payload := p.frame
	if key.bits > 0 {
		packed := w.deflate.deflate(p.frame)
		defer bufpool.Put(packed)
		payload = packed.B
	}
	size := headerSize(len(payload), false)
	frame := append(make([]byte, size, size+len(payload)), payload...)
	putFrameHeader(frame, key.op, key.bits > 0, false)
	ready, _ := p.ready.LoadOrStore(key, frame)
	return ready.([]byte)
}

// appendFrame appends a frame that is not a message of the user's.
func (w *webSocket) appendFrame(dst []byte, op opcode, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, noHeader[:headerSize(len(payload), w.client)]...)
	dst = append(dst, payload...)
	putFrameHeader(dst[start:], op, false, w.client)
	return dst
}

func (w *webSocket) ping(dst []byte) []byte { return w.appendFrame(dst, opPing, nil) }

// farewell is the close frame: the answer to the peer's, or the first of the two.
func (w *webSocket) farewell(dst []byte, cause error) []byte {
	w.said = true
	code, reason := closeCode(cause)
	if w.client && errors.Is(cause, ErrShutdown) {
		code = CloseGoingAway // a client serves nothing
	}
	return w.appendFrame(dst, opClose, closePayload(code, reason))
}

// halfClose: the server closes first, once both close frames are exchanged, and
// who does not understand its peer any more does not wait for its close frame.
// Otherwise half-closing would be rude: the peer may not answer any more.
func (w *webSocket) halfClose() bool { return w.failed || (w.heard && !w.client) }
