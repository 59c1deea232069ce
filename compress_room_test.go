// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bytes"
	"errors"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// roomy is a piece of one byte that would become a hundred thousand.
type roomy struct{ got []int }

func (r *roomy) next([]byte) (size, plain int, skip bool, err error) { return 1, 100_000, false, nil }

func (r *roomy) expand(dst, _ []byte) (int, error) {
	r.got = append(r.got, len(dst))
	return 0, errTooLarge
}

// TestPiecesAreNotExpandedBeyondTheLimit: what would swell costs no more than
// what may. It was expanded as a whole, 128 KiB at a time, and then refused.
func TestPiecesAreNotExpandedBeyondTheLimit(t *testing.T) {
	for _, tt := range []struct {
		sum  expansion
		room int
		err  error
	}{
		{expansion{}, 100_000, errTooLarge},
		{expansion{ratio: 100}, freeExpansion + 100, errSwells},
		{expansion{ratio: 100, in: 50, out: freeExpansion}, 5100, errSwells},
		{expansion{ratio: 1, in: 1, out: freeExpansion + 10}, 0, errSwells},
		{expansion{ratio: 1_000_000}, 100_000, errTooLarge},
	} {
		for _, dst := range []int{10, 200_000} { // through a buffer of its own, and without
			r := &roomy{}
			e := pieces{piece: r, sum: &tt.sum}
			_, _, err := e.expand(make([]byte, dst), []byte{0})
			if !errors.Is(err, tt.err) || len(r.got) != 1 || r.got[0] != tt.room || !e.whole() {
				t.Errorf("%+v: got room for %d, and the error %v, want %d and %v", tt.sum, r.got, err, tt.room, tt.err)
			}
		}
	}
}

// TestInflatingStopsAtTheLimit: steps are short where the limit is near. They
// were of 16 KiB there, too.
func TestInflatingStopsAtTheLimit(t *testing.T) {
	bomb := deflatePiece(nil, make([]byte, 1<<20))
	for _, ratio := range []int64{1, 20, 500} {
		sum := expansion{ratio: ratio}
		e, rest, dst := newInflater(false)(&sum), bomb, make([]byte, 64<<10)
		for within := true; within; {
			out, used, err := e.expand(dst, rest)
			if err != nil || out == 0 {
				t.Fatalf("%d times: %d bytes, %v", ratio, out, err)
			}
			within, rest = sum.count(used, out), rest[used:]
		}
		if over := sum.out - freeExpansion - sum.in*ratio; over > 256 {
			t.Errorf("%d times: %d bytes became %d, %d more than they may", ratio, sum.in, sum.out, over)
		}
		e.drop()
	}
}

// TestCorruptPiecesDoNotSwell, nor does a bomb pass for a corrupt one, whether or
// not its frame tells how long it becomes.
func TestCorruptPiecesDoNotSwell(t *testing.T) {
	announced, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer announced.Close()
	streamed := func(p []byte) []byte {
		var b bytes.Buffer
		w, _ := zstd.NewWriter(&b) // no option is out of range
		_, _ = w.Write(p)
		_ = w.Flush() // so that its length is not known before
		_ = w.Close()
		return b.Bytes()
	}
	chunk := func(p []byte) []byte { return snappyChunk([]byte(snappyHead), p) }
	short, zeros := []byte("honest"), make([]byte, 60<<10)
	for name, tt := range map[string]struct {
		how  Compression
		data []byte
		want error
	}{
		"zstd":                  {CompressZstd, streamed(short), nil},
		"zstd, corrupt":         {CompressZstd, flipped(streamed(short)), zstd.ErrCRCMismatch},
		"zstd, bomb":            {CompressZstd, streamed(zeros), errSwells},
		"zstd, announced bomb":  {CompressZstd, announced.EncodeAll(zeros, nil), errSwells},
		"snappy":                {CompressSnappy, chunk(short), nil},
		"snappy, corrupt":       {CompressSnappy, flipped(chunk(short)), errChecksum},
		"snappy, bomb":          {CompressSnappy, chunk(zeros), errSwells},
		"snappy, chunk in full": {CompressSnappy, chunk(zeros[:freeExpansion]), nil},
	} {
		t.Run(name, func(t *testing.T) {
			sum := expansion{ratio: 5}
			e, dst := newFormat(tt.how, 5).expander(&sum), make([]byte, 128<<10)
			defer e.drop()
			var err error
			for data := tt.data; len(data) > 0 && err == nil; {
				var out, used int
				if out, used, err = e.expand(dst, data); err == nil && out == 0 && used == 0 {
					t.Fatal("it wants more")
				}
				data = data[used:]
				sum.count(used, out)
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("the error is %v, want %v", err, tt.want)
			}
		})
	}
}

// flipped has another last bit.
func flipped(p []byte) []byte {
	p[len(p)-1] ^= 1
	return p
}
