// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Framing is a codec of byte slices: what [Marshal] needs to know where a message begins and ends. It is
// getty.Codec[[]byte], and every codec of this package but [Line] and [Marshal] is one.
type Framing interface {
	// Decode takes the first frame out of data; see the package's documentation for n. msg may be a part of data.
	Decode(data []byte) (msg []byte, n int, err error)
	// Append writes msg as a frame behind dst and returns the longer slice. On an error dst is as it was.
	Append(dst, msg []byte) ([]byte, error)
}

// Marshal is a codec for messages of any type M: a framing and two functions that turn an M into bytes and back. With
// this package's framings the message is encoded right where it goes to the wire, without a buffer of its own. A
// framing of another type, one that embeds or points to one of this package's included, works as well; what it frames
// is copied once more.
//
// Both functions are called from the goroutines of many sessions at once.
type Marshal[M any] struct {
	// Frame cuts the stream into messages. Default nil: LengthField{}.
	Frame Framing

	// Marshal writes msg behind dst and returns the longer slice, as append does; a function that allocates the bytes
	// itself returns append(dst, b...). It must not change what dst holds, nor keep dst. Must not be nil.
	Marshal func(dst []byte, msg M) ([]byte, error)

	// Unmarshal returns the message that data is. data is valid until OnMessage has returned, and so may be msg if it
	// refers to data; a message that is to be kept longer has to be made of copies. Must not be nil.
	Unmarshal func(data []byte) (msg M, err error)
}

// Validate reports a missing function, or what the Validate method of Frame reports if it has one.
func (m Marshal[M]) Validate() error {
	if m.Marshal == nil {
		return errors.New("codec: Marshal.Marshal is nil, want a function")
	}
	if m.Unmarshal == nil {
		return errors.New("codec: Marshal.Unmarshal is nil, want a function")
	}
	if v, ok := m.Frame.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// Decode takes the first frame out of data and unmarshals what is in it. Errors are those of Frame, as they are, and of
// Unmarshal, wrapped.
func (m Marshal[M]) Decode(data []byte) (msg M, n int, err error) {
	if m.Unmarshal == nil {
		return msg, 0, m.Validate()
	}
	body, n, err := m.frame().Decode(data)
	if err != nil || n <= 0 || n > len(data) {
		return msg, n, err
	}
	if msg, err = m.unmarshal(body); err != nil {
		return msg, 0, err
	}
	return msg, n, nil
}

// DecodeEmpty returns the message that an empty WebSocket message or UDP packet is, if it is one to Frame, such as
// [Raw]: of some messages nothing is left when they are marshalled. To other framings it is none: errors.ErrUnsupported.
func (m Marshal[M]) DecodeEmpty() (msg M, err error) {
	f, ok := m.Frame.(interface{ DecodeEmpty() ([]byte, error) })
	if !ok {
		return msg, errors.ErrUnsupported
	}
	if m.Unmarshal == nil {
		return msg, m.Validate()
	}
	body, err := f.DecodeEmpty()
	if err != nil {
		return msg, err
	}
	return m.unmarshal(body)
}

func (m Marshal[M]) unmarshal(body []byte) (M, error) {
	msg, err := m.Unmarshal(body)
	if err != nil {
		var none M
		return none, fmt.Errorf("unmarshal: %w", err)
	}
	return msg, nil
}

// Append marshals msg into a frame behind dst. Errors are those of Frame, as they are, and of Marshal, wrapped. That
// Marshal did not append to what it was given is an [ErrBadMessage].
func (m Marshal[M]) Append(dst []byte, msg M) ([]byte, error) {
	if m.Marshal == nil {
		return dst, m.Validate()
	}
	var out []byte
	var err error
	frame := m.frame()
	if f, ok := inPlaceOf(frame); ok {
		out, err = m.appendInPlace(dst, f, msg)
	} else {
		out, err = m.appendCopy(dst, frame, msg)
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

func (m Marshal[M]) frame() Framing {
	if m.Frame == nil {
		return LengthField{}
	}
	return m.Frame
}

func (m Marshal[M]) appendInPlace(dst []byte, f inPlace, msg M) ([]byte, error) {
	head, err := f.reserve()
	if err != nil {
		return nil, err
	}
	out := slices.Grow(dst, head)[:len(dst)+head]
	clear(out[len(dst):])
	if out, err = m.marshal(out, msg); err != nil {
		return nil, err
	}
	return f.seal(out, len(dst))
}

// appendCopy marshals behind dst, frames behind that, and moves the frame down: no buffer besides dst is needed.
func (m Marshal[M]) appendCopy(dst []byte, f Framing, msg M) ([]byte, error) {
	body, err := m.marshal(dst, msg)
	if err != nil {
		return nil, err
	}
	out, err := f.Append(body, body[len(dst):len(body):len(body)])
	if err != nil {
		return nil, err
	}
	if !extends(out, body) {
		return nil, fmt.Errorf("%w: Marshal.Frame did not append to dst", ErrBadMessage)
	}
	size := copy(out[len(dst):], out[len(body):])
	return out[:len(dst)+size], nil
}

func (m Marshal[M]) marshal(dst []byte, msg M) ([]byte, error) {
	out, err := m.Marshal(dst, msg)
	if err != nil {
		return nil, fmt.Errorf("marshal: %w", err)
	}
	if !extends(out, dst) {
		return nil, fmt.Errorf("%w: Marshal.Marshal did not append to dst", ErrBadMessage)
	}
	return out, nil
}

// extends says whether out begins with the bytes of dst. It catches the function that returns its own bytes instead of
// appending them, which would otherwise put a header over other messages. The bytes are compared only if dst has
// been moved, so this costs no more than the move did.
func extends(out, dst []byte) bool {
	if len(out) < len(dst) {
		return false
	}
	return len(dst) == 0 || &out[0] == &dst[0] || bytes.Equal(out[:len(dst)], dst)
}

// inPlace is a framing that can make a frame of a message that stands in dst already: behind dst as it was, start bytes
// long, come reserve() zeros and then the message. Like Append, seal returns the longer slice; it writes only behind
// start.
type inPlace interface {
	reserve() (int, error)
	seal(dst []byte, start int) ([]byte, error)
}

// inPlaceOf goes by the exact type. An assertion alone would also find the methods in a type that embeds a framing in
// order to replace its Append, which would then never be called.
func inPlaceOf(f Framing) (inPlace, bool) {
	switch f.(type) {
	case Raw, Delimiter, Fixed, Varint, LengthField:
		in, ok := f.(inPlace)
		return in, ok
	default:
		return nil, false
	}
}
