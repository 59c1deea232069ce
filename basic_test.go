// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"strconv"
	"testing"

	"github.com/getty-net/getty"
)

func TestEchoOverEachTransport(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		r := record()
		s := dial(t, url, r, getty.Config{})
		const n = 5000
		go func() {
			for i := range n {
				if err := s.Send(strconv.Itoa(i)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		for i := range n {
			if got := receive(t, r.messages, "answer"); got != strconv.Itoa(i) {
				t.Fatalf("answer %d is %q", i, got)
			}
		}
		must(t, s.Close())
		if cause := receive(t, r.closed, "OnClose"); cause != nil {
			t.Fatalf("cause of a local close is %v", cause)
		}
	})
}
