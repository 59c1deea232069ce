// SPDX-License-Identifier: Apache-2.0

package codec_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/getty-net/getty/codec"
)

// fuzzCodec uses data once as what a peer sends and once as a message. What is decoded must be accepted by Append, and
// whatever Append accepts must decode to the same message.
func fuzzCodec[M text](t *testing.T, c codecOf[M], data []byte) {
	t.Helper()
	if len(data) > 4<<10 {
		t.Skip("many small messages: slow, and nothing new")
	}
	given := string(data)
	whole, cut := stream[M]{codec: c}, stream[M]{codec: c}
	err := whole.feed(t, data)
	for _, chunk := range [][]byte{data[:len(data)/3], data[len(data)/3:]} {
		if cutErr := cut.feed(t, chunk); cutErr != nil {
			if err == nil || cutErr.Error() != err.Error() {
				t.Fatalf("%#v: Decode(%q): %v, in two parts: %v", c, data, err, cutErr)
			}
			break
		}
	}
	if !slices.Equal(whole.msgs, cut.msgs) || !bytes.Equal(whole.buf, cut.buf) && err == nil {
		t.Fatalf("%#v: %q decodes to %q, %q, in two parts to %q, %q", c, data, whole.msgs, whole.buf, cut.msgs, cut.buf)
	}
	for _, m := range whole.msgs {
		decodeAll(t, c, []string{m}, encode(t, c, M(m)))
	}
	fuzzAppend(t, c, M(data))
	if string(data) != given {
		t.Fatalf("%#v: data %q was changed to %q", c, given, data)
	}
}

func fuzzAppend[M text](t *testing.T, c codecOf[M], msg M) {
	t.Helper()
	if _, err := c.Append(nil, msg); err != nil {
		_ = refused(t, c, msg)
		return
	}
	wire := encode(t, c, msg)
	got, n, err := c.Decode(wire)
	if err != nil || n != len(wire) || len(got) != len(msg) {
		t.Fatalf("%#v: Append(%q) = %q, decodes to %q, %d, %v", c, msg, wire, got, n, err)
	}
	// A message that holds the length field comes back with the length filled in, and then stays as it is.
	if l, ok := any(c).(codec.LengthField); ok && l.Strip != 0 {
		msg = M(string(got))
	}
	decodeAll(t, c, []string{string(msg)}, encode(t, c, msg))
}

func FuzzRaw(f *testing.F) {
	f.Add([]byte("hello"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := stream[[]byte]{codec: codec.Raw{}}
		if err := s.feed(t, data); err != nil || strings.Join(s.msgs, "") != string(data) || len(s.buf) != 0 {
			t.Fatalf("Decode(%q) = %q, %v", data, s.msgs, err)
		}
		if got := encode(t, codec.Raw{}, data); !bytes.Equal(got, data) {
			t.Fatalf("Append(%q) = %q", data, got)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("hello\r\nworld\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, crlf bool) {
		fuzzCodec(t, codec.Line{CRLF: crlf}, data)
	})
}

func FuzzDelimiter(f *testing.F) {
	f.Add([]byte("a--b-\n--"), []byte("--"), false)
	f.Fuzz(func(t *testing.T, data, delim []byte, keep bool) {
		fuzzCodec(t, codec.Delimiter{Delim: delim, Keep: keep}, data)
	})
}

func FuzzFixed(f *testing.F) {
	f.Add([]byte("abcdef"), 3)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		fuzzCodec(t, codec.Fixed{Size: size}, data)
	})
}

func FuzzVarint(f *testing.F) {
	f.Add([]byte("\x05hello\x80\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzCodec(t, codec.Varint{}, data)
	})
}

func FuzzLengthField(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x05hello"), 0, 0, 0, 0, 0, false, false)
	f.Fuzz(func(t *testing.T, data []byte, offset, size, adjustment, strip, limit int, le, includes bool) {
		c := codec.LengthField{
			Offset: offset, LengthSize: size, Adjustment: adjustment, Strip: strip,
			MaxFrameLength: limit, LittleEndian: le, IncludesLength: includes,
		}
		if err := c.Validate(); err != nil {
			if _, n, derr := c.Decode(data); n != 0 || derr == nil {
				t.Fatalf("%+v: Decode = %d, %v", c, n, derr)
			}
			_ = refused(t, c, data)
			return
		}
		fuzzCodec(t, c, data)
	})
}

func FuzzMarshal(f *testing.F) {
	f.Add([]byte("\x05hello\x02NO"), uint8(1))
	frames := []codec.Framing{nil, codec.Varint{}, codec.Delimiter{}, codec.Fixed{Size: 3}, foreignVarint{}}
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		fuzzCodec(t, invert(frames[int(which)%len(frames)]), data)
	})
}

// foreignVarint is Varint for which Marshal does not know how to work in place.
type foreignVarint struct{ codec.Varint }

// invert is a serialisation for which the bytes of a message are not those on the wire. It refuses one message.
func invert(frame codec.Framing) codec.Marshal[string] {
	flip := func(b []byte) []byte {
		for i := range b {
			b[i] ^= 0xff
		}
		return b
	}
	return codec.Marshal[string]{
		Frame: frame,
		Marshal: func(dst []byte, m string) ([]byte, error) {
			if m == "refused" {
				return dst, errors.New("refused")
			}
			return append(dst, flip([]byte(m))...), nil
		},
		Unmarshal: func(data []byte) (string, error) { return string(flip(bytes.Clone(data))), nil },
	}
}
