// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bytes"
	"testing"
)

// FuzzUDPRecords: what is put into a window as records comes out the same, and
// nothing else is taken for one.
func FuzzUDPRecords(f *testing.F) {
	f.Add([]byte{}, []byte("one"), []byte{})
	f.Add([]byte{4, 0, 0, 0, 'a'}, []byte{0xff, 0xff, 0xff, 0xff}, bytes.Repeat([]byte("x"), 2000))
	f.Fuzz(func(t *testing.T, junk, a, b []byte) {
		if unit, used := record(junk); used != 0 && (used != recordHeader+len(unit) || used > len(junk)) {
			t.Fatalf("a record of %d bytes that uses %d of %d", len(unit), used, len(junk))
		}
		var in window
		defer in.release()
		for range 3 {
			in.addRecord(a)
			in.addRecord(b)
		}
		for i := range 6 {
			want := a
			if i%2 == 1 {
				want = b
			}
			unit, used := record(in.bytes())
			if used == 0 || !bytes.Equal(unit, want) {
				t.Fatalf("record %d is %q, want %q", i, unit, want)
			}
			in.used(used)
		}
		if in.len() != 0 {
			t.Fatalf("%d bytes are left", in.len())
		}
	})
}
