// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/getty-net/getty"
)

// zipFeed expands data that arrives in pieces. It fails the test if an expander
// does not do what the engine relies on.
func zipFeed(t *testing.T, z *getty.ZipStream, data []byte, dice *rand.Rand) (out []byte, err error) {
	t.Helper()
	const limit = 1 << 20
	var held []byte
	for {
		n := min(len(data), 1+dice.IntN(3000))
		held, data = append(held, data[:n]...), data[n:]
		for {
			dst := make([]byte, 1+dice.IntN(100<<10))
			got, used, err := z.Expand(dst, held)
			if got < 0 || got > len(dst) || used < 0 || used > len(held) {
				t.Fatalf("%d bytes of %d filled, %d of %d used", got, len(dst), used, len(held))
			}
			out, held = append(out, dst[:got]...), held[used:]
			if err != nil || len(out) > limit {
				return out, err
			}
			if got == 0 && used == 0 {
				break
			}
		}
		z.Rest()
		if len(held) > 200<<10 {
			t.Fatalf("%d bytes are held", len(held))
		}
		if len(data) == 0 {
			return out, nil
		}
	}
}

// FuzzZipExpand gives anything to every expander.
func FuzzZipExpand(f *testing.F) {
	for i, how := range zipAll {
		for _, text := range zipTexts()[:4] {
			f.Add(getty.NewZipStream(how).Compress([]byte(text)), uint8(i), uint64(1))
		}
	}
	f.Add([]byte("\xff\x06\x00\x00sNaPpY\xfe\x03\x00\x00abc\x01\x05\x00\x001234x"), uint8(1), uint64(1))
	f.Add([]byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc\x28\xb5\x2f\xfd\x04\x00\x09\x00\x00x1234"), uint8(2), uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, how uint8, seed uint64) {
		z := getty.NewZipStream(zipAll[int(how)%len(zipAll)])
		defer z.Drop()
		_, _ = zipFeed(t, z, data, rand.New(rand.NewPCG(seed, 0)))
	})
}

// FuzzZipCompress has every text come back.
func FuzzZipCompress(f *testing.F) {
	for i := range zipAll {
		f.Add([]byte("hello, hello"), uint8(i), uint64(1), uint16(7))
	}
	f.Fuzz(func(t *testing.T, text []byte, how uint8, seed uint64, times uint16) {
		z := getty.NewZipStream(zipAll[int(how)%len(zipAll)])
		defer z.Drop()
		text = bytes.Repeat(text, 1+int(times)%500)
		text = text[:min(len(text), 300<<10)]
		data := z.Compress(text)
		got, err := zipFeed(t, z, data, rand.New(rand.NewPCG(seed, 0)))
		if err != nil || !bytes.Equal(got, text) || !z.Whole() {
			t.Fatalf("%d bytes came back as %d, %v", len(text), len(got), err)
		}
	})
}

// FuzzZipPreamble compares with what a preamble is.
func FuzzZipPreamble(f *testing.F) {
	f.Add([]byte("\xf6gz\x01"))
	f.Add([]byte("\xf6gz\x41"))
	f.Add([]byte("\xf6g"))
	f.Add([]byte("GET / HTTP/1.1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		how, ok, err := getty.ZipParsePreamble(data)
		if ok && (err != nil || !bytes.HasPrefix(data, getty.ZipPreamble(how))) {
			t.Errorf("%q is the preamble of %v, %v", data, how, err)
		}
		whole := getty.ZipPreamble(how)
		if !ok && err == nil && !bytes.HasPrefix(whole[:3], data) {
			t.Errorf("%q may become a preamble", data)
		}
	})
}
