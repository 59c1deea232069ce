// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"net"
	"testing"
)

// The URL of a listener can be dialed, on an address with a zone as well. It is
// in the package since such addresses are not there to listen on everywhere.
func TestURLsOfZonesCanBeDialed(t *testing.T) {
	addr := &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 9000, Zone: "eth0"}
	for _, kind := range []string{"tcp", "tls", "ws", "wss"} {
		url := urlOf(target{kind: kind}, addr)
		dialed, err := parseURL(url)
		if err != nil || dialed.address != addr.String() {
			t.Errorf("%s: address %q, %v", url, dialed.address, err)
			continue
		}
		if dialed.isWebSocket() {
			if got := dialed.request(nil).Host; got != "[fe80::1]:9000" {
				t.Errorf("%s: Host %q", url, got)
			}
		}
	}
}
