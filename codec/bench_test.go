// SPDX-License-Identifier: Apache-2.0

package codec_test

import (
	"fmt"
	"testing"

	"github.com/getty-net/getty/codec"
)

var fastCodecs = []struct {
	name  string
	codec codec.Framing
}{
	{"LengthField", codec.LengthField{}},
	{"LengthFieldOptions", codec.LengthField{Offset: 2, LengthSize: 2, LittleEndian: true, IncludesLength: true}},
	{"Varint", codec.Varint{}},
}

func TestAllocs(t *testing.T) {
	codecs := append(fastCodecs,
		struct {
			name  string
			codec codec.Framing
		}{"Raw", codec.Raw{}},
		struct {
			name  string
			codec codec.Framing
		}{"Delimiter", codec.Delimiter{Delim: []byte("\r\n")}},
		struct {
			name  string
			codec codec.Framing
		}{"Fixed", codec.Fixed{Size: 200}},
	)
	for _, tt := range codecs {
		t.Run(tt.name, func(t *testing.T) {
			msg, buf := make([]byte, 200), make([]byte, 0, 1024)
			wire := encode(t, tt.codec, msg)
			noAllocs(t, "Append", func() { _, _ = tt.codec.Append(buf, msg) })
			noAllocs(t, "Decode", func() { _, _, _ = tt.codec.Decode(wire) })
			noAllocs(t, "Decode of a part", func() { _, _, _ = tt.codec.Decode(wire[:1]) })
			c := codec.Marshal[[]byte]{
				Frame:     tt.codec,
				Marshal:   func(dst, m []byte) ([]byte, error) { return append(dst, m...), nil },
				Unmarshal: func(data []byte) ([]byte, error) { return data, nil },
			}
			noAllocs(t, "Marshal.Append", func() { _, _ = c.Append(buf, msg) })
			noAllocs(t, "Marshal.Decode", func() { _, _, _ = c.Decode(wire) })
		})
	}
	var line codecOf[string] = codec.Line{}
	buf, text := make([]byte, 0, 1024), string(make([]byte, 200))
	noAllocs(t, "Line.Append", func() { _, _ = line.Append(buf, text) })
}

func noAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%s: %v allocations, want 0", what, n)
	}
}

var benchSizes = []int{16, 256, 4096}

func BenchmarkDecode(b *testing.B) {
	for _, c := range fastCodecs {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%d", c.name, size), func(b *testing.B) {
				wire := encode(b, c.codec, make([]byte, size))
				b.ReportAllocs()
				b.SetBytes(int64(len(wire)))
				for b.Loop() {
					if _, n, err := c.codec.Decode(wire); n != len(wire) || err != nil {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range fastCodecs {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%d", c.name, size), func(b *testing.B) {
				msg, dst := make([]byte, size), make([]byte, 0, size+16)
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					if _, err := c.codec.Append(dst, msg); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkMarshalAppend(b *testing.B) {
	for _, f := range []codec.Framing{codec.LengthField{}, codec.Varint{}, foreign{}} {
		b.Run(fmt.Sprintf("%T", f), func(b *testing.B) {
			c := codec.Marshal[[]byte]{
				Frame:     f,
				Marshal:   func(dst, m []byte) ([]byte, error) { return append(dst, m...), nil },
				Unmarshal: func(data []byte) ([]byte, error) { return data, nil },
			}
			msg, dst := make([]byte, 199), make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Append(dst, msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
