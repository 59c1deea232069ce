// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bytes"
	"testing"
)

// TestMask: whatever way masking takes for the length, in one piece or two.
func TestMask(t *testing.T) {
	key := [maskSize]byte{0x12, 0x34, 0x56, 0xff}
	for n := range 2*vectorMin + 40 {
		plain := bytes.Repeat([]byte("0123456789abcdef-"), n/17+1)[:n]
		want := make([]byte, n)
		for i := range want {
			want[i] = plain[i] ^ key[i%maskSize]
		}
		for _, cut := range []int{0, n / 3, n - n/5} {
			got := bytes.Clone(plain)
			mask(got[:cut], key, 0)
			mask(got[cut:], key, cut)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, cut at %d: %x, want %x", n, cut, got, want)
			}
		}
	}
}
