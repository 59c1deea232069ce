// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"testing"
	"time"

	"github.com/apache/dubbo-getty"
)

// TestFirstSessionLeads: who closes a client as soon as it has a session sees no other one, as with the original, which
// opens them 300 ms apart.
func TestFirstSessionLeads(t *testing.T) {
	_, addr := serve(t, transports[0], with(record()))
	r, times := record(), make(chan time.Time, 8)
	r.onOpen = func(getty.Session) error {
		times <- time.Now()
		return nil
	}
	connect(t, transports[0], addr, 8, with(r))
	first := receive(t, times, "session")
	for range 7 {
		if after := receive(t, times, "session").Sub(first); after < 20*time.Millisecond {
			t.Errorf("another session opens after %v", after)
		}
	}
}
