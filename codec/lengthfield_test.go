// SPDX-License-Identifier: Apache-2.0

package codec_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/getty-net/getty/codec"
)

// The first seven are the cases that the documentation of Netty's decoder goes through.
var lengthFieldWires = []struct {
	name  string
	codec codec.LengthField
	wire  string
	msg   string
}{
	{"2 bytes, keep all", codec.LengthField{LengthSize: 2, Strip: codec.StripNone}, "\x00\x05hello", "\x00\x05hello"},
	{"2 bytes, strip", codec.LengthField{LengthSize: 2, Strip: 2}, "\x00\x05hello", "hello"},
	{
		"whole frame, keep all",
		codec.LengthField{LengthSize: 2, Adjustment: -2, Strip: codec.StripNone},
		"\x00\x07hello", "\x00\x07hello",
	},
	{
		"header before",
		codec.LengthField{Offset: 2, LengthSize: 3, Strip: codec.StripNone},
		"\xca\xfe\x00\x00\x05hello", "\xca\xfe\x00\x00\x05hello",
	},
	{
		"header behind",
		codec.LengthField{LengthSize: 3, Adjustment: 2, Strip: codec.StripNone},
		"\x00\x00\x05\xca\xfehello", "\x00\x00\x05\xca\xfehello",
	},
	{
		"headers around, strip the first",
		codec.LengthField{Offset: 1, LengthSize: 2, Adjustment: 1, Strip: 3},
		"\x00\x00\x05\xfehello", "\xfehello",
	},
	{
		"headers around, whole frame",
		codec.LengthField{Offset: 1, LengthSize: 2, Adjustment: -3, Strip: 3},
		"\x00\x00\x09\xfehello", "\xfehello",
	},
	{"zero value", codec.LengthField{}, "\x00\x00\x00\x05hello", "hello"},
	{"zero value spelt out", codec.LengthField{LengthSize: 4, Strip: 4}, "\x00\x00\x00\x05hello", "hello"},
	{"1 byte", codec.LengthField{LengthSize: 1}, "\x05hello", "hello"},
	{"2 bytes le", codec.LengthField{LengthSize: 2, LittleEndian: true}, "\x05\x00hello", "hello"},
	{"3 bytes le", codec.LengthField{LengthSize: 3, LittleEndian: true}, "\x05\x00\x00hello", "hello"},
	{"4 bytes le", codec.LengthField{LittleEndian: true}, "\x05\x00\x00\x00hello", "hello"},
	{"8 bytes", codec.LengthField{LengthSize: 8}, "\x00\x00\x00\x00\x00\x00\x00\x05hello", "hello"},
	{"8 bytes le", codec.LengthField{LengthSize: 8, LittleEndian: true}, "\x05\x00\x00\x00\x00\x00\x00\x00hello", "hello"},
	{"includes length", codec.LengthField{LengthSize: 2, IncludesLength: true}, "\x00\x07hello", "hello"},
	{
		"includes length and header",
		codec.LengthField{Offset: 1, LengthSize: 2, IncludesLength: true, Adjustment: -1},
		"\x00\x00\x08hello", "hello",
	},
	{"default strip with offset", codec.LengthField{Offset: 1, LengthSize: 1}, "\x00\x05hello", "hello"},
	{"strip up to the length", codec.LengthField{Offset: 1, LengthSize: 1, Strip: 1}, "\x00\x05hello", "\x05hello"},
	{"strip half the length", codec.LengthField{LengthSize: 2, Strip: 1}, "\x00\x05hello", "\x05hello"},
	{"strip behind the length", codec.LengthField{LengthSize: 1, Strip: 3}, "\x07\x00\x00hello", "hello"},
	{"empty body", codec.LengthField{}, "\x00\x00\x00\x00", ""},
	{"frame at its limit", codec.LengthField{LengthSize: 1, MaxFrameLength: 6}, "\x05hello", "hello"},
	{"length at its limit", codec.LengthField{LengthSize: 1}, "\xff" + strings.Repeat("x", 255), strings.Repeat("x", 255)},
}

func TestLengthFieldWire(t *testing.T) {
	for _, tt := range lengthFieldWires {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.codec.Validate(); err != nil {
				t.Fatal(err)
			}
			if got := encode(t, tt.codec, []byte(tt.msg)); string(got) != tt.wire {
				t.Errorf("wire = %q, want %q", got, tt.wire)
			}
			roundTrip(t, tt.codec, []byte(tt.msg), []byte(tt.msg))
		})
	}
}

func TestLengthFieldOverwritesLength(t *testing.T) {
	c := codec.LengthField{Offset: 1, LengthSize: 2, Strip: codec.StripNone}
	if got := encode(t, c, []byte("T??hello")); string(got) != "T\x00\x05hello" {
		t.Errorf("wire = %q", got)
	}
}

func TestLengthFieldDecodeErrors(t *testing.T) {
	tests := []struct {
		name  string
		codec codec.LengthField
		data  string
		err   error
	}{
		{"below the header", codec.LengthField{LengthSize: 2, Adjustment: -2}, "\x00\x01", codec.ErrCorruptFrame},
		{
			"below the header, offset",
			codec.LengthField{Offset: 1, LengthSize: 1, IncludesLength: true},
			"a\x00", codec.ErrCorruptFrame,
		},
		{"negative frame", codec.LengthField{Adjustment: -math.MaxInt32}, "\x00\x00\x00\x01", codec.ErrCorruptFrame},
		{"below strip", codec.LengthField{LengthSize: 1, Strip: 3}, "\x01a", codec.ErrCorruptFrame},
		{"over the limit", codec.LengthField{LengthSize: 1, MaxFrameLength: 5}, "\x05", codec.ErrFrameTooLong},
		{"64 bits", codec.LengthField{LengthSize: 8}, strings.Repeat("\xff", 8), codec.ErrFrameTooLong},
		{
			"64 bits, lowered",
			codec.LengthField{LengthSize: 8, Adjustment: -9},
			strings.Repeat("\xff", 8), codec.ErrFrameTooLong,
		},
		{"63 bits and header", codec.LengthField{LengthSize: 8}, "\x7f" + strings.Repeat("\xff", 7), codec.ErrFrameTooLong},
		{
			"sign bit",
			codec.LengthField{LengthSize: 8, LittleEndian: true},
			strings.Repeat("\x00", 7) + "\x80", codec.ErrFrameTooLong,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			msg, n, err := tt.codec.Decode([]byte(tt.data))
			if msg != nil || n != 0 || !errors.Is(err, tt.err) {
				t.Errorf("Decode = %q, %d, %v, want %v", msg, n, err, tt.err)
			}
		})
	}
}

func TestLengthFieldLargeLengths(t *testing.T) {
	for _, tt := range []struct {
		codec codec.LengthField
		data  string
		want  uint64
	}{
		{codec.LengthField{}, "\x7f\xff\xff\xfb", math.MaxInt32},
		{codec.LengthField{}, "\xff\xff\xff\xff", math.MaxUint32 + 4},
		{codec.LengthField{LengthSize: 4}, "\xff\xff\xff\xff", math.MaxUint32 + 4},
		{codec.LengthField{LengthSize: 8, IncludesLength: true}, "\x7f\xff\xff\xff\xff\xff\xff\xff", math.MaxInt64},
		{codec.LengthField{LengthSize: 8, Adjustment: math.MaxInt32}, "\x7f\xff\xff\xff\x7f\xff\xff\xf8", math.MaxInt64},
	} {
		msg, n, err := tt.codec.Decode([]byte(tt.data))
		if tt.want > math.MaxInt {
			if n != 0 || !errors.Is(err, codec.ErrFrameTooLong) {
				t.Errorf("%+v: Decode = %d, %v, want ErrFrameTooLong", tt.codec, n, err)
			}
		} else if msg != nil || uint64(n) != tt.want || err != nil {
			t.Errorf("%+v: Decode = %d, %v, want %d", tt.codec, n, err, tt.want)
		}
	}
}

func TestLengthFieldAppendErrors(t *testing.T) {
	tests := []struct {
		name  string
		codec codec.LengthField
		msg   string
		err   error
	}{
		{"no room for the length", codec.LengthField{Strip: codec.StripNone}, "abc", codec.ErrBadMessage},
		{"half a length", codec.LengthField{Offset: 2, LengthSize: 2, Strip: 3}, "", codec.ErrBadMessage},
		{"below the adjustment", codec.LengthField{Adjustment: 2}, "a", codec.ErrBadMessage},
		{"over 1 byte", codec.LengthField{LengthSize: 1}, strings.Repeat("x", 256), codec.ErrFrameTooLong},
		{
			"over 1 byte, included",
			codec.LengthField{LengthSize: 1, IncludesLength: true},
			strings.Repeat("x", 255), codec.ErrFrameTooLong,
		},
		{"over 2 bytes", codec.LengthField{LengthSize: 2}, strings.Repeat("x", 1<<16), codec.ErrFrameTooLong},
		{"over 3 bytes", codec.LengthField{LengthSize: 3, Adjustment: -1 << 24}, "", codec.ErrFrameTooLong},
		{"over the limit", codec.LengthField{MaxFrameLength: 8}, "hello", codec.ErrFrameTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := refused(t, tt.codec, []byte(tt.msg)); !errors.Is(err, tt.err) {
				t.Errorf("err = %v, want %v", err, tt.err)
			}
		})
	}
}

func TestLengthFieldValidate(t *testing.T) {
	tests := []struct {
		codec codec.LengthField
		want  string
	}{
		{codec.LengthField{LengthSize: 5}, "codec: LengthField.LengthSize is 5, want 1, 2, 3, 4 or 8"},
		{codec.LengthField{LengthSize: -1}, "codec: LengthField.LengthSize is -1, want 1, 2, 3, 4 or 8"},
		{codec.LengthField{Offset: -1}, "codec: LengthField.Offset is -1, want 0 to 1048576"},
		{codec.LengthField{Offset: math.MaxInt}, "codec: LengthField.Offset is "},
		{codec.LengthField{Adjustment: math.MinInt}, "codec: LengthField.Adjustment is "},
		{codec.LengthField{Strip: -2}, "codec: LengthField.Strip is -2, want -1 to 1048576"},
		{codec.LengthField{Strip: math.MaxInt}, "codec: LengthField.Strip is "},
		{codec.LengthField{MaxFrameLength: 3}, "codec: LengthField.MaxFrameLength is 3, want 0 or at least 4"},
		{codec.LengthField{MaxFrameLength: 7, Strip: 8}, "codec: LengthField.MaxFrameLength is 7, want 0 or at least 8"},
		{codec.LengthField{MaxFrameLength: -1}, "codec: LengthField.MaxFrameLength is -1, want 0 or at least 4"},
		{codec.LengthField{Adjustment: -4, IncludesLength: true}, "codec: LengthField.Adjustment is -4, want 0 or more with"},
	}
	for _, tt := range tests {
		err := tt.codec.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: Validate = %v, want %q", tt.codec, err, tt.want)
			continue
		}
		if _, n, derr := tt.codec.Decode([]byte("0123456789")); n != 0 || derr == nil || derr.Error() != err.Error() {
			t.Errorf("%+v: Decode = %d, %v, want %v", tt.codec, n, derr, err)
		}
		if aerr := refused(t, tt.codec, []byte("0123456789")); aerr.Error() != err.Error() {
			t.Errorf("%+v: Append = %v, want %v", tt.codec, aerr, err)
		}
	}
	if err := (codec.LengthField{}).Validate(); err != nil {
		t.Error(err)
	}
}

// referenceFrame works out the length of the frame with numbers that cannot overflow.
func referenceFrame(c codec.LengthField, data []byte) (frame *big.Int, header int64) {
	size := c.LengthSize
	if size == 0 {
		size = 4
	}
	field := bytes.Clone(data[c.Offset : c.Offset+size])
	if c.LittleEndian {
		for i := range size / 2 {
			field[i], field[size-1-i] = field[size-1-i], field[i]
		}
	}
	header = int64(c.Offset + size)
	frame = new(big.Int).SetBytes(field)
	frame.Add(frame, big.NewInt(header+int64(c.Adjustment)))
	if c.IncludesLength {
		frame.Sub(frame, big.NewInt(int64(size)))
	}
	return frame, max(header, int64(c.Strip))
}

func randomLengthField(r *rand.Rand) codec.LengthField {
	for {
		c := codec.LengthField{
			Offset:         r.IntN(5),
			LengthSize:     []int{0, 1, 2, 3, 4, 8}[r.IntN(6)],
			Adjustment:     r.IntN(17) - 8,
			Strip:          r.IntN(10) - 1,
			MaxFrameLength: []int{0, 20, 1000}[r.IntN(3)],
			LittleEndian:   r.IntN(2) == 0,
			IncludesLength: r.IntN(3) == 0,
		}
		if c.Validate() == nil {
			return c
		}
	}
}

func TestLengthFieldDecodeMatchesReference(t *testing.T) {
	r := newRand()
	for range 20_000 {
		c := randomLengthField(r)
		data := make([]byte, 40)
		for i := range data {
			data[i] = []byte{0, 0, 0, 1, 9, 30, 0x7f, 0xff}[r.IntN(8)]
		}
		frame, least := referenceFrame(c, data)
		_, n, err := c.Decode(data)
		switch {
		case frame.Cmp(big.NewInt(least)) < 0:
			if !errors.Is(err, codec.ErrCorruptFrame) {
				t.Fatalf("%+v: %x: Decode = %d, %v, want ErrCorruptFrame for %v", c, data, n, err, frame)
			}
		case frame.Cmp(big.NewInt(math.MaxInt)) > 0,
			c.MaxFrameLength > 0 && frame.Cmp(big.NewInt(int64(c.MaxFrameLength))) > 0:
			if !errors.Is(err, codec.ErrFrameTooLong) {
				t.Fatalf("%+v: %x: Decode = %d, %v, want ErrFrameTooLong for %v", c, data, n, err, frame)
			}
		case err != nil || frame.Cmp(big.NewInt(int64(n))) != 0:
			t.Fatalf("%+v: %x: Decode = %d, %v, want %v", c, data, n, err, frame)
		}
	}
}

// Whatever Append accepts decodes to the same message, save for the length in it, for any valid value of the fields.
func TestLengthFieldAppendMatchesDecode(t *testing.T) {
	r := newRand()
	for range 400 {
		c := randomLengthField(r)
		var msgs [][]byte
		for _, m := range randomMessages(t, c, r) {
			shaped, n, err := c.Decode(encode(t, c, m))
			if err != nil || n == 0 || len(shaped) != len(m) {
				t.Fatalf("%+v: Append(%q) decodes to %q, %d, %v", c, m, shaped, n, err)
			}
			msgs = append(msgs, shaped)
		}
		roundTrip(t, c, msgs...)
	}
}

func TestLengthFieldDefaultMatchesBinary(t *testing.T) {
	r := newRand()
	for range 200 {
		m := randomBytes(r, 300)
		want := append(binary.BigEndian.AppendUint32(nil, uint32(len(m))), m...)
		for _, c := range []codec.LengthField{{}, {LengthSize: 4}} {
			if got := encode(t, c, m); !bytes.Equal(got, want) {
				t.Fatalf("%+v: wire = %x, want %x", c, got, want)
			}
		}
	}
}
