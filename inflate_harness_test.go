// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// Decoders keep 32 KiB, whatever window was agreed on, so that they do not
// notice what refers too far back. This one looks at nothing else.

var errDeflate = errors.New("no DEFLATE stream")

// bitReader reads a DEFLATE stream (RFC 1951) up to its last block, or its end
// behind one.
type bitReader struct {
	data string
	at   int // in bits
}

func (r *bitReader) bits(n int) (v int) {
	for i := range n {
		if r.at/8 >= len(r.data) {
			panic(errDeflate)
		}
		v |= int(r.data[r.at/8]>>(r.at%8)&1) << i
		r.at++
	}
	return v
}

// huffman counts the codes of each length and orders their symbols.
type huffman struct {
	count   [16]int
	symbols []int
}

func newHuffman(lengths []int) (h huffman) {
	for length := range h.count {
		for symbol, l := range lengths {
			if l == length && l > 0 {
				h.count[l]++
				h.symbols = append(h.symbols, symbol)
			}
		}
	}
	return h
}

func (r *bitReader) symbol(h huffman) int {
	code, first, index := 0, 0, 0
	for length := 1; length < len(h.count); length++ {
		code |= r.bits(1)
		n := h.count[length]
		if code-n < first {
			return h.symbols[index+code-first]
		}
		index, first, code = index+n, (first+n)<<1, code<<1
	}
	panic(errDeflate)
}

// farthest is the longest distance in a stream, 0 if it refers to nothing.
func farthest(stream string) (far int, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errDeflate
		}
	}()
	r := &bitReader{data: stream}
	for final := 0; final == 0 && r.at/8+1 < len(stream); {
		final = r.bits(1)
		switch r.bits(2) {
		case 0:
			r.at = (r.at + 7) &^ 7
			n := r.bits(16)
			r.at += 16 + 8*n
		case 1:
			far = max(far, r.block(fixedCodes()))
		case 2:
			far = max(far, r.block(r.dynamicCodes()))
		default:
			return far, errDeflate
		}
	}
	return far, nil
}

func fixedCodes() (literals, distances huffman) {
	lengths := make([]int, 288)
	for i := range lengths {
		switch {
		case i < 144, i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	five := make([]int, 30)
	for i := range five {
		five[i] = 5
	}
	return newHuffman(lengths), newHuffman(five)
}

func (r *bitReader) dynamicCodes() (literals, distances huffman) {
	nl, nd, nc := r.bits(5)+257, r.bits(5)+1, r.bits(4)+4
	order := [19]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	lengths := make([]int, 19)
	for _, i := range order[:nc] {
		lengths[i] = r.bits(3)
	}
	codes := newHuffman(lengths)
	lengths = nil
	for len(lengths) < nl+nd {
		length, n := 0, 1
		switch symbol := r.symbol(codes); symbol {
		case 16:
			length, n = lengths[len(lengths)-1], 3+r.bits(2)
		case 17:
			n = 3 + r.bits(3)
		case 18:
			n = 11 + r.bits(7)
		default:
			length = symbol
		}
		for range n {
			lengths = append(lengths, length)
		}
	}
	return newHuffman(lengths[:nl]), newHuffman(lengths[nl:])
}

// block reads one up to its end and returns its longest distance.
func (r *bitReader) block(literals, distances huffman) (far int) {
	for {
		symbol := r.symbol(literals)
		switch {
		case symbol == 256:
			return far
		case symbol > 264 && symbol < 285:
			r.bits((symbol - 261) / 4) // the rest of the length
		}
		if symbol < 256 {
			continue
		}
		d := r.symbol(distances)
		distance := d + 1
		if d > 3 {
			extra := d/2 - 1
			distance = (2+d%2)<<extra + r.bits(extra) + 1
		}
		far = max(far, distance)
	}
}

// wantWindow fails if a message of permessage-deflate needs more than was agreed on.
func wantWindow(t testing.TB, payload string, bits int) {
	t.Helper()
	far, err := farthest(payload + "\x00\x00\xff\xff")
	must(t, err)
	if far > 1<<bits {
		t.Errorf("a message refers %d bytes back, and the window has %d", far, 1<<bits)
	}
}

// TestFarthest: the helper notices what Go's decoder does not.
func TestFarthest(t *testing.T) {
	dice := rand.New(rand.NewPCG(7, 7))
	noise := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(dice.Uint32())
		}
		return string(b)
	}
	word := noise(100)
	for name, tt := range map[string]struct {
		text string
		want int // where a match is sought for
	}{
		"nothing":       {"", 0},
		"no match":      {"abcdefg", 0},
		"a run":         {strings.Repeat("x", 100), 1},
		"just outside":  {word + noise(257-len(word)) + word, 257},
		"512":           {word + noise(512-len(word)) + word, 512},
		"513":           {word + noise(513-len(word)) + word, 513},
		"the longest":   {word + noise(32<<10-len(word)) + word, 32 << 10},
		"too far":       {word + noise(32<<10+1-len(word)) + word, 0},
		"text and 4097": {word + strings.Repeat("some words, ", 300) + noise(4097-len(word)-3600) + word, 4097},
		"a long match":  {word + word + word + noise(600) + strings.Repeat(word, 30), 900},
	} {
		t.Run(name, func(t *testing.T) {
			for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 9} {
				var out bytes.Buffer
				w, _ := flate.NewWriter(&out, level)
				_, err := io.WriteString(w, tt.text)
				must(t, err)
				must(t, w.Flush())
				want := tt.want
				if level != 9 {
					want = 0
				}
				if far, err := farthest(out.String()); err != nil || far != want {
					t.Errorf("level %d: the longest distance is %d, %v, want %d", level, far, err, want)
				}
				must(t, w.Close())
				if far, err := farthest(out.String()); err != nil || far != want {
					t.Errorf("level %d, closed: the longest distance is %d, %v, want %d", level, far, err, want)
				}
			}
		})
	}
	for _, bad := range []string{"\x07\x00", "\x05\xff\xff\xff", "\x03\xff\xff\xff\xff\xff"} {
		if _, err := farthest(bad); err == nil {
			t.Errorf("%q is no DEFLATE stream", bad)
		}
	}
}
