// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64) && !getty_portable

package getty

import (
	"net/netip"
	"testing"
)

// FuzzUDPControl: no control message can do harm, and what setSource writes
// readControls reads.
func FuzzUDPControl(f *testing.F) {
	for _, addr := range []string{"127.0.0.1", "::1", "2001:db8::1", "fe80::1%3"} {
		a := netip.MustParseAddr(addr)
		var d rawDest
		d.setSource(a, true)
		f.Add(d.control[:d.used], a.AsSlice())
		if a.Is4() {
			d.setSource(a, false)
			f.Add(d.control[:d.used], a.AsSlice())
		}
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 8, 0, 0, 0}, []byte{1})
	f.Fuzz(func(t *testing.T, control, addr []byte) {
		if a, _ := readControls(control); a.IsMulticast() || a.IsUnspecified() {
			t.Errorf("%v is no source", a)
		}
		a, ok := netip.AddrFromSlice(addr)
		if a = a.Unmap(); !ok || a != source(a) {
			return
		}
		for _, v6 := range []bool{true, false} {
			if !v6 && !a.Is4() {
				continue
			}
			var d rawDest
			d.setSource(a, v6)
			if got, _ := readControls(d.control[:d.used]); got != a {
				t.Errorf("read %v, written was %v", got, a)
			}
			d.setName(netip.AddrPortFrom(a, 9), v6)
			if got := addrPortOf(&d.name, int(d.size)); got != netip.AddrPortFrom(a, 9) {
				t.Errorf("read %v, written was %v port 9", got, a)
			}
		}
	})
}
