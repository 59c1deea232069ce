// SPDX-License-Identifier: Apache-2.0

package codec_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/getty-net/getty/codec"
)

var errUser = errors.New("user's error")

// upper is a stand-in for a serialisation: a message is refused both ways if it says "no".
func upper(frame codec.Framing) codec.Marshal[string] {
	return codec.Marshal[string]{
		Frame: frame,
		Marshal: func(dst []byte, m string) ([]byte, error) {
			if m == "no" {
				return append(dst, "half"...), errUser
			}
			return append(dst, strings.ToUpper(m)...), nil
		},
		Unmarshal: func(data []byte) (string, error) {
			if string(data) == "NO" {
				return "half", errUser
			}
			return strings.ToLower(string(data)), nil
		},
	}
}

// foreign is a framing that this package does not know. It embeds one that can work in place, and must not be bypassed.
type foreign struct{ codec.LengthField }

func (f foreign) Append(dst, msg []byte) ([]byte, error) {
	if len(msg) > 200 {
		return dst, errUser
	}
	return f.LengthField.Append(dst, append([]byte{'!'}, msg...))
}

func (f foreign) Decode(data []byte) ([]byte, int, error) {
	msg, n, err := f.LengthField.Decode(data)
	if err == nil && n <= len(data) {
		msg = msg[1:]
	}
	return msg, n, err
}

var marshalFrames = []codec.Framing{
	nil,
	codec.LengthField{},
	&codec.LengthField{},
	codec.LengthField{Offset: 1, LengthSize: 2, Strip: 5},
	codec.Varint{},
	&codec.Varint{},
	codec.Delimiter{},
	codec.Delimiter{Delim: []byte("\r\n")},
	foreign{},
	&foreign{},
}

func TestMarshalRoundTrip(t *testing.T) {
	for _, f := range marshalFrames {
		t.Run(fmt.Sprintf("%T", f), func(t *testing.T) {
			c := upper(f)
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			roundTrip(t, c, "", "a", "bcd", strings.Repeat("x", 126))
			for _, size := range []int{127, 128, 130, 199} {
				roundTrip(t, c, strings.Repeat("y", size), "z")
			}
		})
	}
	roundTrip(t, upper(codec.Fixed{Size: 3}), "abc", "def")
	if wire := encode(t, upper(codec.Raw{}), "a", "b"); string(wire) != "AB" {
		t.Errorf("wire = %q", wire)
	}
}

// The wire must not depend on the way that the frame was made.
func TestMarshalMatchesFrame(t *testing.T) {
	for _, f := range marshalFrames[1:] {
		for _, size := range []int{0, 1, 127, 128, 199} {
			m := strings.Repeat("A", size)
			want := encode(t, f, []byte(m))
			if got := encode(t, upper(f), m); string(got) != string(want) {
				t.Errorf("%T: wire = %q, want %q", f, got, want)
			}
		}
	}
}

func TestMarshalLargeVarint(t *testing.T) {
	m := strings.Repeat("ab", 1<<14)
	decodeAll(t, upper(codec.Varint{}), []string{m}, encode(t, upper(codec.Varint{}), m))
}

func TestMarshalErrors(t *testing.T) {
	for _, f := range marshalFrames {
		c := upper(f)
		if err := refused(t, c, "no"); !errors.Is(err, errUser) {
			t.Errorf("%T: Append: %v, want the user's error", f, err)
		}
		wire := encode(t, c, "xx")
		copy(wire[strings.Index(string(wire), "XX"):], "NO")
		if msg, n, err := c.Decode(wire); msg != "" || n != 0 || !errors.Is(err, errUser) {
			t.Errorf("%T: Decode = %q, %d, %v, want the user's error", f, msg, n, err)
		}
	}
	for _, tt := range []struct {
		frame codec.Framing
		msg   string
		err   error
	}{
		{foreign{}, strings.Repeat("x", 201), errUser},
		{codec.Delimiter{}, "a\nb", codec.ErrBadMessage},
		{codec.Fixed{Size: 2}, "a", codec.ErrBadMessage},
		{codec.LengthField{LengthSize: 1}, strings.Repeat("x", 256), codec.ErrFrameTooLong},
		{codec.LengthField{Strip: codec.StripNone}, "a", codec.ErrBadMessage},
	} {
		if err := refused(t, upper(tt.frame), tt.msg); !errors.Is(err, tt.err) {
			t.Errorf("%T: Append: %v, want %v", tt.frame, err, tt.err)
		}
	}
	_, n, err := upper(codec.Varint{}).Decode([]byte("\xff\xff\xff\xff\xff"))
	if n != 0 || !errors.Is(err, codec.ErrCorruptFrame) {
		t.Errorf("Decode = %d, %v, want ErrCorruptFrame", n, err)
	}
}

func TestMarshalInvalid(t *testing.T) {
	full := upper(nil)
	noMarshal, noUnmarshal := full, full
	noMarshal.Marshal, noUnmarshal.Unmarshal = nil, nil
	for _, c := range []codec.Marshal[string]{
		{},
		noMarshal,
		noUnmarshal,
		upper(codec.Fixed{}),
		upper(codec.LengthField{LengthSize: 5}),
		upper(foreign{codec.LengthField{Offset: -1}}),
	} {
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "codec: ") {
			t.Errorf("Validate = %v", err)
		}
	}
	for _, f := range []codec.Framing{codec.Fixed{}, codec.LengthField{LengthSize: 5}} {
		_ = refused(t, upper(f), "a")
	}
	_ = refused(t, noMarshal, "a")
	if _, n, err := noUnmarshal.Decode([]byte("\x00\x00\x00\x00")); n != 0 || err == nil {
		t.Errorf("Decode = %d, %v", n, err)
	}
}

// rogue is a framing that returns its own bytes instead of appending them.
type rogue struct{ codec.Varint }

func (rogue) Append(_, _ []byte) ([]byte, error) { return []byte("mine"), nil }

func TestMarshalMustAppend(t *testing.T) {
	for _, own := range []string{"", "x", strings.Repeat("x", 100)} {
		for _, f := range []codec.Framing{codec.LengthField{}, codec.Varint{}, codec.Raw{}, foreign{}} {
			c := upper(f)
			c.Marshal = func(_ []byte, _ string) ([]byte, error) { return []byte(own), nil }
			if err := refused(t, c, "a"); !errors.Is(err, codec.ErrBadMessage) {
				t.Errorf("%T: err = %v, want ErrBadMessage", f, err)
			}
		}
	}
	if err := refused(t, upper(rogue{}), "a"); !errors.Is(err, codec.ErrBadMessage) {
		t.Errorf("err = %v, want ErrBadMessage", err)
	}
}

func TestMarshalPanicLeavesDst(t *testing.T) {
	dst := newDst(64)
	c := upper(nil)
	c.Marshal = func(dst []byte, _ string) ([]byte, error) {
		_ = append(dst, "half"...)
		panic(errUser)
	}
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, errUser) {
				t.Errorf("recovered %v", err)
			}
		}()
		_, _ = c.Append(dst, "a")
	}()
	if string(dst) != prefix {
		t.Errorf("dst = %q", dst)
	}
}
