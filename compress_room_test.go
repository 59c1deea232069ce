// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"testing"
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
