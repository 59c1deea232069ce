// SPDX-License-Identifier: Apache-2.0

package codec_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/getty-net/getty/codec"
)

func TestRoundTripRandom(t *testing.T) {
	frames := map[string]codec.Framing{
		"delimiter":      codec.Delimiter{},
		"delimiter byte": codec.Delimiter{Delim: []byte("-")},
		"delimiter long": codec.Delimiter{Delim: []byte("--a")},
		"delimiter aba":  codec.Delimiter{Delim: []byte("a-a")},
		"fixed":          codec.Fixed{Size: 3},
		"varint":         codec.Varint{},
		"length":         codec.LengthField{},
		"length 1":       codec.LengthField{LengthSize: 1},
		"length 3 le":    codec.LengthField{LengthSize: 3, LittleEndian: true, Offset: 2},
		"length 8":       codec.LengthField{LengthSize: 8, IncludesLength: true},
	}
	for name, c := range frames {
		t.Run(name, func(t *testing.T) {
			r := newRand()
			for range 30 {
				roundTrip(t, c, randomMessages(t, c, r)...)
			}
		})
	}
	for name, c := range map[string]codec.Line{"line": {}, "line crlf": {CRLF: true}} {
		t.Run(name, func(t *testing.T) {
			r := newRand()
			for range 30 {
				roundTrip(t, c, randomMessages(t, c, r)...)
			}
		})
	}
}

func TestRoundTripEdges(t *testing.T) {
	roundTrip(t, codec.Line{}, "", "a", "\r", "\r\r", "a\rb", "a\r", "")
	roundTrip(t, codec.Line{CRLF: true}, "", "a", "\r", "a\r", "")
	roundTrip(t, codec.Delimiter{}, []byte{}, []byte("a\r"), nil)
	roundTrip(t, codec.Delimiter{Keep: true}, []byte("\n"), []byte("a\r\n"), []byte("b\n"))
	roundTrip(t, codec.Delimiter{Delim: []byte("\r\n"), Keep: true}, []byte("\r\n"), []byte("a\n\r\n"))
	for _, size := range []int{0, 1, 126, 127, 128, 129, 16383, 16384} {
		b := bytes.Repeat([]byte{'x'}, size)
		wire := encode(t, codec.Varint{}, b)
		decodeAll(t, codec.Varint{}, []string{string(b)}, wire)
		wire = encode(t, codec.LengthField{}, b)
		decodeAll(t, codec.LengthField{}, []string{string(b)}, wire)
	}
}

func TestRaw(t *testing.T) {
	wire := encode(t, codec.Raw{}, []byte("a"), nil, []byte("bc"))
	if string(wire) != "abc" {
		t.Errorf("wire = %q", wire)
	}
	decodeAll(t, codec.Raw{}, []string{"a", "bc"}, wire[:1], wire[1:])
	if _, n, err := (codec.Raw{}).Decode(nil); n != 0 || err != nil {
		t.Errorf("Decode(nil) = %d, %v", n, err)
	}
}

func TestWire(t *testing.T) {
	tests := []struct {
		name  string
		codec codec.Framing
		msg   string
		want  string
	}{
		{"delimiter", codec.Delimiter{}, "a", "a\n"},
		{"delimiter empty slice", codec.Delimiter{Delim: []byte{}}, "a", "a\n"},
		{"delimiter keep", codec.Delimiter{Keep: true}, "a\n", "a\n"},
		{"delimiter two bytes", codec.Delimiter{Delim: []byte("--")}, "a", "a--"},
		{"fixed", codec.Fixed{Size: 2}, "ab", "ab"},
		{"varint", codec.Varint{}, "ab", "\x02ab"},
		{"varint empty", codec.Varint{}, "", "\x00"},
		{"varint 300", codec.Varint{}, string(make([]byte, 300)), "\xac\x02" + string(make([]byte, 300))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := encode(t, tt.codec, []byte(tt.msg)); string(got) != tt.want {
				t.Errorf("wire = %q, want %q", got, tt.want)
			}
			decodeAll(t, tt.codec, []string{tt.msg}, []byte(tt.want))
		})
	}
	if got := encode(t, codec.Line{}, "a", "b\r"); string(got) != "a\nb\r\r\n" {
		t.Errorf("wire = %q", got)
	}
	if got := encode(t, codec.Line{CRLF: true}, "a"); string(got) != "a\r\n" {
		t.Errorf("wire = %q", got)
	}
	decodeAll(t, codec.Line{CRLF: true}, []string{"a", "b", "c\r", "\r"}, []byte("a\nb\r\nc\r\r\n\r\r\n"))
}

func TestAppendRefuses(t *testing.T) {
	tests := []struct {
		name  string
		codec codec.Framing
		msg   string
	}{
		{"delimiter inside", codec.Delimiter{}, "a\nb"},
		{"delimiter at the end", codec.Delimiter{}, "a\n"},
		{"delimiter at the seam", codec.Delimiter{Delim: []byte("--")}, "a-"},
		{"delimiter overlapping at the seam", codec.Delimiter{Delim: []byte("aba")}, "xab"},
		{"keep without", codec.Delimiter{Keep: true}, "a"},
		{"keep empty", codec.Delimiter{Keep: true}, ""},
		{"keep inside too", codec.Delimiter{Keep: true}, "a\nb\n"},
		{"keep overlapping", codec.Delimiter{Delim: []byte("--"), Keep: true}, "a---"},
		{"fixed short", codec.Fixed{Size: 3}, "ab"},
		{"fixed long", codec.Fixed{Size: 3}, "abcd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := refused(t, tt.codec, []byte(tt.msg)); !errors.Is(err, codec.ErrBadMessage) {
				t.Errorf("err = %v, want ErrBadMessage", err)
			}
		})
	}
	for _, msg := range []string{"\n", "a\n", "a\nb", "a\r\n"} {
		if err := refused(t, codec.Line{}, msg); !errors.Is(err, codec.ErrBadMessage) {
			t.Errorf("Line: err = %v, want ErrBadMessage", err)
		}
	}
}

func TestFixedInvalid(t *testing.T) {
	for _, size := range []int{0, -1, math.MinInt} {
		c := codec.Fixed{Size: size}
		want := c.Validate()
		if want == nil {
			t.Fatalf("Validate of Size %d: no error", size)
		}
		if _, n, err := c.Decode([]byte("abc")); n != 0 || err == nil || err.Error() != want.Error() {
			t.Errorf("Decode = %d, %v, want %v", n, err, want)
		}
		if err := refused(t, c, []byte("abc")); err.Error() != want.Error() {
			t.Errorf("Append: %v, want %v", err, want)
		}
	}
	if got := (codec.Fixed{}).Validate().Error(); got != "codec: Fixed.Size is 0, want 1 or more" {
		t.Error(got)
	}
	if err := (codec.Fixed{Size: 1}).Validate(); err != nil {
		t.Error(err)
	}
	if _, n, err := (codec.Fixed{Size: math.MaxInt}).Decode([]byte("a")); n != math.MaxInt || err != nil {
		t.Errorf("Decode = %d, %v", n, err)
	}
}

func TestVarintDecode(t *testing.T) {
	tests := []struct {
		name string
		data string
		n    int
		err  error
	}{
		{"nothing", "", 1, nil},
		{"half a length", "\x80\x80", 3, nil},
		{"longer than needed", "\x82\x80\x80\x80\x00ab", 7, nil},
		{"4 bytes of length", "\xff\xff\xff\x7f", 1<<28 + 3, nil},
		{"33 bits", "\xff\xff\xff\xff\x1f", 0, codec.ErrCorruptFrame},
		{"six bytes", "\x80\x80\x80\x80\x80\x00", 0, codec.ErrCorruptFrame},
		{"endless", "\x80\x80\x80\x80\x80", 0, codec.ErrCorruptFrame},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, n, err := codec.Varint{}.Decode([]byte(tt.data))
			if n != tt.n || !errors.Is(err, tt.err) {
				t.Errorf("Decode = %d, %v, want %d, %v", n, err, tt.n, tt.err)
			}
		})
	}
	_, n, err := codec.Varint{}.Decode([]byte("\xff\xff\xff\xff\x0f"))
	if want := uint64(math.MaxUint32) + 5; want <= math.MaxInt {
		if uint64(n) != want || err != nil {
			t.Errorf("Decode = %d, %v, want %d", n, err, want)
		}
	} else if n != 0 || !errors.Is(err, codec.ErrFrameTooLong) {
		t.Errorf("Decode = %d, %v, want ErrFrameTooLong", n, err)
	}
}

func TestLengthLimits(t *testing.T) {
	if err := codec.CheckVarint(math.MaxUint32); err != nil {
		t.Error(err)
	}
	if err := codec.CheckVarint(math.MaxUint32 + 1); !errors.Is(err, codec.ErrFrameTooLong) {
		t.Errorf("err = %v", err)
	}
	if n, err := codec.AddLength(1, math.MaxInt-1); n != math.MaxInt || err != nil {
		t.Errorf("AddLength = %d, %v", n, err)
	}
	for _, p := range [][2]uint64{{1, math.MaxInt}, {math.MaxUint64, 1}, {1, math.MaxUint64}, {math.MaxInt + 1, 0}} {
		if n, err := codec.AddLength(p[0], p[1]); n != 0 || !errors.Is(err, codec.ErrFrameTooLong) {
			t.Errorf("AddLength(%d, %d) = %d, %v", p[0], p[1], n, err)
		}
	}
}

// Appending to a message must not write over the frame behind it.
func TestMessageCapacity(t *testing.T) {
	for _, c := range []codec.Framing{
		codec.Raw{},
		codec.Delimiter{},
		codec.Delimiter{Keep: true},
		codec.Fixed{Size: 2},
		codec.Varint{},
		codec.LengthField{},
		codec.LengthField{LengthSize: 1},
		codec.LengthField{LengthSize: 1, Strip: codec.StripNone},
	} {
		data := append(make([]byte, 0, 64), "\x00\x00\x00\x02\n\nxxxx"...)
		msg, n, err := c.Decode(data)
		if err != nil || n <= 0 || n > len(data) {
			t.Fatalf("%#v: n = %d, err = %v", c, n, err)
		}
		if cap(msg) != len(msg) {
			t.Errorf("%#v: cap(msg) = %d, len = %d", c, cap(msg), len(msg))
		}
		if len(msg) > 0 {
			msg[0] ^= 0xff
			if !bytes.Contains(data, msg) {
				t.Errorf("%#v: the message is a copy, want a part of data", c)
			}
		}
	}
}
