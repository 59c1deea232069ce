// SPDX-License-Identifier: Apache-2.0

package frame_test

import (
	"bytes"
	"testing"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/bench/internal/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheckerAcceptsTheStreamInPiecesOfAnySize(t *testing.T) {
	const body, count = 100, 200
	var stream []byte
	tmpl := frame.NewTemplate(body, 16)
	for seq := 0; seq < count; {
		run := tmpl.Frames(uint64(seq), count-seq)
		stream = append(stream, run...)
		seq += len(run) / tmpl.Size()
	}
	for _, piece := range []int{1, 3, 4, 12, 103, 104, 105, 1000, len(stream)} {
		c := frame.NewChecker(body)
		total := 0
		for rest := stream; len(rest) > 0; {
			n := min(piece, len(rest))
			frames, err := c.Consume(rest[:n])
			if err != nil {
				t.Fatalf("pieces of %d: %v", piece, err)
			}
			total += frames
			rest = rest[n:]
		}
		if total != count || c.Received() != count {
			t.Errorf("pieces of %d: %d frames, Received %d, want %d", piece, total, c.Received(), count)
		}
	}
}

func TestCheckerRejects(t *testing.T) {
	const body = 64
	tmpl := frame.NewTemplate(body, 3)
	good := bytes.Clone(tmpl.Frames(0, 3))
	size := tmpl.Size()
	for _, test := range []struct {
		name   string
		damage func(b []byte) []byte
	}{
		{"a wrong length", func(b []byte) []byte { b[size+3]++; return b }},
		{"a lost frame", func(b []byte) []byte { return append(b[:size], b[2*size:]...) }},
		{"a doubled frame", func(b []byte) []byte { return append(b[:size], b[:size]...) }},
		{"a lost byte", func(b []byte) []byte { return append(b[:5], b[6:]...) }},
		{"a changed byte in a sampled body", func(b []byte) []byte { b[size-1]++; return b }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := frame.NewChecker(body)
			if _, err := c.Consume(test.damage(bytes.Clone(good))); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestSharedCheckersKeepTheirOwnPlace(t *testing.T) {
	tmpl := frame.NewTemplate(32, 4)
	a := frame.NewChecker(32)
	b := a.Share()
	stream := bytes.Clone(tmpl.Frames(0, 4))
	for i := 0; i < len(stream); i += 10 {
		piece := stream[i:min(i+10, len(stream))]
		for _, c := range []*frame.Checker{a, b} {
			if _, err := c.Consume(piece); err != nil {
				t.Fatal(err)
			}
		}
	}
}
