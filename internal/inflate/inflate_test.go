// SPDX-License-Identifier: Apache-2.0

package inflate_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/internal/inflate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plaintexts are of all kinds that compressors treat differently.
func plaintexts() map[string][]byte {
	dice := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100<<10)
	for i := range noise {
		noise[i] = byte(dice.Uint32())
	}
	var words []byte
	for len(words) < 150<<10 {
		words = fmt.Appendf(words, "%s %d, ", []string{"session", "conn", "message", "frame"}[dice.IntN(4)], dice.IntN(1000))
	}
	var runs []byte // of all lengths, one letter each
	for n := range 600 {
		runs = append(runs, bytes.Repeat([]byte{byte(n)}, n)...)
	}
	far := bytes.Clone(noise[:32<<10])
	return map[string][]byte{
		"nothing": nil, "byte": {'x'}, "noise": noise, "words": words,
		"zeros": make([]byte, 300<<10), "far": append(far, far...), "short": []byte("hello, hello, hello"),
		"runs": runs,
	}
}

// deflated compresses p with a sync flush now and then, and an end.
func deflated(t testing.TB, p []byte, level int) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	for len(p) > 0 {
		n := min(len(p), 70_000)
		_, _ = w.Write(p[:n])
		_ = w.Flush()
		p = p[n:]
	}
	_ = w.Close()
	return out.Bytes()
}

// feed expands data that arrives in pieces into a buffer that has little room.
func feed(d *inflate.Decoder, data []byte, dice *rand.Rand, limit int) (out []byte, err error) {
	var held []byte
	for {
		n := min(len(data), 1+dice.IntN(1+dice.IntN(5000)))
		held, data = append(held, data[:n]...), data[n:]
		for {
			dst := make([]byte, 1+dice.IntN(3000))
			got, used, err := d.Expand(dst, held)
			out = append(out, dst[:got]...)
			held = held[used:]
			if err != nil || len(out) > limit {
				return out, err
			}
			if got == 0 && used == 0 {
				break
			}
			if dice.IntN(4) == 0 {
				d.Rest()
			}
		}
		d.Rest()
		if len(data) == 0 {
			if len(held) > 0 || !d.Whole() {
				return out, io.ErrUnexpectedEOF
			}
			return out, nil
		}
	}
}

func TestExpand(t *testing.T) {
	for name, p := range plaintexts() {
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			t.Run(fmt.Sprintf("%s/%d", name, level), func(t *testing.T) {
				data := deflated(t, p, level)
				for seed := range uint64(2) {
					var d inflate.Decoder
					got, err := feed(&d, data, rand.New(rand.NewPCG(seed, 0)), len(p))
					if err != nil || !bytes.Equal(got, p) {
						t.Fatalf("seed %d: %d bytes of %d, %v", seed, len(got), len(p), err)
					}
				}
			})
		}
	}
}

func TestMeasure(t *testing.T) {
	for name, p := range plaintexts() {
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			data := deflated(t, p, level)
			if got := inflate.Measure(data, len(p)); got != len(p) {
				t.Errorf("%s/%d: %d bytes are measured as %d", name, level, len(p), got)
			}
			if got := inflate.Measure(append(bytes.Clone(data), data...), 2*len(p)); got != 2*len(p) {
				t.Errorf("%s/%d: twice, %d bytes are measured as %d", name, level, len(p), got)
			}
			for _, limit := range []int{0, 1, len(p) / 2, len(p) - 1} {
				if got := inflate.Measure(data, limit); limit < len(p) && (got <= limit || got > min(limit+64<<10, len(p))) {
					t.Errorf("%s/%d: up to %d of %d bytes, %d are measured", name, level, limit, len(p), got)
				}
			}
			for _, n := range []int{0, 1, len(data) / 3, len(data) - 1} {
				if got := inflate.Measure(data[:n], len(p)); got > len(p) {
					t.Errorf("%s/%d: %d bytes are measured as %d when %d of %d have come", name, level, len(p), got, n, len(data))
				}
			}
		}
	}
	for name, data := range map[string]string{
		"reserved block": "\x07", "length of stored": "\x01\x01\x00\x00\x00x", "nothing": "", "a length that there is not": "\x1b\x03",
	} {
		if got := inflate.Measure([]byte(data), 1000); got > 0 {
			t.Errorf("%s: %d bytes", name, got)
		}
	}
}

// What comes before corrupt bytes is handed out, however little room there is.
func TestErrorsComeLast(t *testing.T) {
	p := plaintexts()["words"][:8000]
	data := deflated(t, p, flate.BestSpeed)
	data = append(data[:len(data)-5], 0x07) // a block of a type that there is not, in place of the last, which is empty
	for _, room := range []int{1, 100, 4096, 1 << 20} {
		var d inflate.Decoder
		var got []byte
		dst := make([]byte, room)
		for src := data; ; {
			n, used, err := d.Expand(dst, src)
			got, src = append(got, dst[:n]...), src[used:]
			if err != nil {
				break
			}
		}
		if !bytes.Equal(got, p) {
			t.Errorf("with room for %d, %d bytes of %d come before the error", room, len(got), len(p))
		}
	}
}

func TestByteByByte(t *testing.T) {
	p := plaintexts()["words"][:20_000]
	var d inflate.Decoder
	var held, got []byte
	for _, b := range deflated(t, p, flate.BestCompression) {
		held = append(held, b)
		dst := make([]byte, 70_000)
		n, used, err := d.Expand(dst, held)
		if err != nil {
			t.Fatal(err)
		}
		got, held = append(got, dst[:n]...), held[used:]
	}
	if !bytes.Equal(got, p) || !d.Whole() || len(held) > 0 {
		t.Errorf("%d bytes of %d, %d held", len(got), len(p), len(held))
	}
}

// What is behind a flush may refer to what is before it, unless it is said not to.
func TestIndependent(t *testing.T) {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestCompression)
	for range 2 {
		_, _ = w.Write([]byte("the same words again and again"))
		_ = w.Flush()
	}
	for _, independent := range []bool{false, true} {
		d := inflate.Decoder{Independent: independent}
		_, err := feed(&d, out.Bytes(), rand.New(rand.NewPCG(0, 0)), 1000)
		if errors.Is(err, inflate.ErrCorrupt) != independent {
			t.Errorf("independent %v: %v", independent, err)
		}
	}
}

func TestCorrupt(t *testing.T) {
	for name, data := range map[string]string{
		"reserved block":        "\x07",
		"length of stored":      "\x01\x01\x00\x00\x00x",
		"distance before start": "\x03\x02\x00\x00\x00\x00",
		"behind the end":        "\x01\x00\x00\xff\xff\x00",
	} {
		var d inflate.Decoder
		if _, err := feed(&d, []byte(data+"\x00\x00\x00\x00\x00\x00\x00\x00"), rand.New(rand.NewPCG(0, 0)), 1000); !errors.Is(err, inflate.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzExpand compares with compress/flate.
func FuzzExpand(f *testing.F) {
	for _, p := range plaintexts() {
		p = p[:min(len(p), 500)]
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, flate.BestSpeed, flate.BestCompression} {
			f.Add(deflated(f, p, level), uint64(1))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		const limit = 1 << 20
		src := bytes.NewReader(data)
		want, werr := io.ReadAll(io.LimitReader(flate.NewReader(src), limit))
		var d inflate.Decoder
		got, err := feed(&d, data, rand.New(rand.NewPCG(seed, 0)), limit)
		got = got[:min(len(got), limit)]
		if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) {
			t.Fatalf("it expands to something else than %d bytes, %v", len(want), werr)
		}
		if werr == nil && src.Len() == 0 && len(want) < limit && (err != nil || len(got) != len(want)) {
			t.Fatalf("%d bytes, %v, want %d", len(got), err, len(want))
		}
		if size := inflate.Measure(data[:len(data)-src.Len()], limit); werr == nil && len(want) < limit && size != len(want) || size > limit+64<<10 {
			t.Fatalf("%d bytes, %v, are measured as %d", len(want), werr, size)
		}
		if err == nil && werr != nil && len(got) > len(want) {
			t.Logf("more than compress/flate: %d bytes, %v, want %d, %v", len(got), err, len(want), werr)
		}
	})
}

func BenchmarkMeasure(b *testing.B) {
	for _, name := range []string{"words", "zeros"} {
		p := plaintexts()[name]
		data := deflated(b, p, flate.BestSpeed)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if inflate.Measure(data, len(p)) != len(p) {
					b.Fatal("it is not measured right")
				}
			}
		})
	}
}

func BenchmarkExpand(b *testing.B) {
	p := plaintexts()["words"]
	data := deflated(b, p, flate.BestSpeed)
	dst := make([]byte, 64<<10)
	b.Run("inflate", func(b *testing.B) {
		b.SetBytes(int64(len(p)))
		for b.Loop() {
			var d inflate.Decoder
			for src := data; len(src) > 0; {
				_, used, err := d.Expand(dst, src)
				if err != nil {
					b.Fatal(err)
				}
				src = src[used:]
			}
			d.Rest()
		}
	})
	b.Run("stdlib", func(b *testing.B) {
		b.SetBytes(int64(len(p)))
		r := flate.NewReader(nil)
		for b.Loop() {
			_ = r.(flate.Resetter).Reset(bytes.NewReader(data), nil)
			if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{r}, dst); err != nil {
				b.Fatal(err)
			}
		}
	})
}
