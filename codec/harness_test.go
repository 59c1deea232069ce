// SPDX-License-Identifier: Apache-2.0

package codec_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// codecOf repeats getty.Codec, which this package must not import.
type codecOf[M any] interface {
	Decode(data []byte) (msg M, n int, err error)
	Append(dst []byte, msg M) ([]byte, error)
}

type text interface{ ~string | ~[]byte }

// prefix stands for the frames of earlier messages in the buffer that Append gets.
const prefix = "earlier"

// newDst returns prefix with free capacity that holds garbage, as a reused buffer does.
func newDst(free int) []byte {
	b := append([]byte(prefix), bytes.Repeat([]byte{0xa5}, free)...)
	return b[:len(prefix)]
}

// encode appends msgs one after the other and fails the test on an error.
func encode[M text](t testing.TB, c codecOf[M], msgs ...M) []byte {
	t.Helper()
	dst := newDst(3)
	for _, m := range msgs {
		before, given := string(dst), string(m)
		out, err := c.Append(dst, m)
		if err != nil {
			t.Fatalf("Append(%q): %v", m, err)
		}
		if !bytes.HasPrefix(out, []byte(before)) {
			t.Fatalf("Append(%q) changed what was in dst", m)
		}
		if string(m) != given {
			t.Fatalf("Append changed the message %q to %q", given, m)
		}
		dst = out
	}
	return dst[len(prefix):]
}

// refused checks that Append returns an error, which it returns too, and leaves dst alone.
func refused[M text](t testing.TB, c codecOf[M], msg M) error {
	t.Helper()
	dst := newDst(64)
	out, err := c.Append(dst, msg)
	if err == nil {
		t.Fatalf("%#v: Append(%q) = %q, want an error", c, msg, out[len(prefix):])
	}
	if string(out) != prefix || &out[0] != &dst[0] || cap(out) != cap(dst) {
		t.Fatalf("%#v: Append(%q) returned %q with its error %v, want dst as it was", c, msg, out, err)
	}
	return err
}

// stream decodes as a session does: chunks arrive one by one, and Decode is asked again after each. It checks every
// promise about n and returns copies of the messages and the bytes that were left over.
type stream[M text] struct {
	codec codecOf[M]
	buf   []byte
	least int
	msgs  []string
}

func (s *stream[M]) feed(t testing.TB, chunk []byte) error {
	t.Helper()
	s.buf = append(s.buf, chunk...)
	for len(s.buf) > 0 {
		msg, n, err := s.codec.Decode(slices.Clip(s.buf))
		if err != nil {
			return err
		}
		if n < 0 {
			t.Fatalf("%#v: Decode(%q): n = %d", s.codec, s.buf, n)
		}
		if n == 0 || n > len(s.buf) {
			s.least = max(s.least, n)
			if len(msg) != 0 {
				t.Fatalf("%#v: Decode(%q): message %q with n = %d", s.codec, s.buf, msg, n)
			}
			return nil
		}
		if n < s.least {
			t.Fatalf("%#v: Decode asked for %d bytes and then used %d", s.codec, s.least, n)
		}
		s.msgs = append(s.msgs, string(msg))
		s.buf, s.least = s.buf[n:], 0
	}
	return nil
}

// decodeAll feeds chunks and fails the test unless they decode to want with nothing left over.
func decodeAll[M text](t testing.TB, c codecOf[M], want []string, chunks ...[]byte) {
	t.Helper()
	s := stream[M]{codec: c}
	for _, chunk := range chunks {
		if err := s.feed(t, chunk); err != nil {
			t.Fatalf("%#v: Decode(%q): %v", c, s.buf, err)
		}
	}
	if !slices.Equal(s.msgs, want) || len(s.buf) != 0 {
		t.Fatalf("%#v: %q\ndecoded to %q, left %q\nwant       %q", c, chunks, s.msgs, s.buf, want)
	}
}

// roundTrip checks that msgs survive Append and Decode in one piece, cut in two at every place, and byte by byte.
func roundTrip[M text](t testing.TB, c codecOf[M], msgs ...M) {
	t.Helper()
	wire := encode(t, c, msgs...)
	want := make([]string, len(msgs))
	for i, m := range msgs {
		want[i] = string(m)
	}
	for i := range len(wire) + 1 {
		decodeAll(t, c, want, wire[:i], wire[i:])
	}
	decodeAll(t, c, want, slices.Collect(slices.Chunk(wire, 1))...)
}

// randomBytes returns up to limit bytes out of a small alphabet, in which delimiters are frequent.
func randomBytes(r *rand.Rand, limit int) []byte {
	const alphabet = "ab-\r\n\x00\x80\xff"
	b := make([]byte, r.IntN(limit+1))
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return b
}

// randomMessages returns a few messages that c accepts, and checks that the others leave dst alone.
func randomMessages[M text](t testing.TB, c codecOf[M], r *rand.Rand) (msgs []M) {
	t.Helper()
	for range 8 {
		m := M(randomBytes(r, 12))
		if _, err := c.Append(nil, m); err != nil {
			_ = refused(t, c, m)
			continue
		}
		msgs = append(msgs, m)
	}
	return msgs
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
