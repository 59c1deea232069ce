// SPDX-License-Identifier: Apache-2.0

package consumers_test

import (
	"testing"
	"time"
)

var seataGo = consumer{
	module: "github.com/seata/seata-go", version: "v1.2.0",
	flags:    []string{"-gcflags=github.com/seata/seata-go/...=-l"}, // its tests replace functions at run time: its code must not inline them
	standIns: map[string]string{"vimagination.zapto.org/byteio": "byteio", "vimagination.zapto.org/memio": "memio"},
}

var seataGoSuites = []suite{
	{pkg: "pkg/remoting/getty", tests: 22},
	{pkg: "pkg/remoting/processor/client", tests: 11},
}

func TestSeataGo(t *testing.T) {
	t.Parallel()
	c := seataGo.checkOut(t, *original)
	t.Run("tests", func(t *testing.T) { c.tests(t, seataGoSuites) })
	t.Run("tests with -race", func(t *testing.T) { c.tests(t, seataGoSuites, "-race") })
	t.Run("restarted coordinator", func(t *testing.T) {
		program := c.build(t, "seata-client")
		for _, tt := range []struct {
			name        string
			env         []string
			reset, back bool
		}{
			{"crash", nil, true, true},
			{"orderly", nil, false, false}, // as with the original
			{"orderly, with the option", []string{"GETTY_RECONNECT_ON_EOF=true"}, false, true},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				restartedCoordinator(t, program, tt.env, tt.reset, tt.back)
			})
		}
	})
}

// restartedCoordinator takes the coordinator away from a client, which is to come back by itself, or is not.
func restartedCoordinator(t *testing.T, program string, env []string, reset, back bool) {
	first := coordinate(t, "127.0.0.1:0")
	address := first.l.Addr().String()
	client := start(t, env, program, "-address", address)
	begin := func() {
		t.Helper()
		var begun struct{ XID, Error string }
		if client.ask(&begun, "transaction"); begun.XID != "xid" {
			complain(t, "got %+v", begun)
		}
	}
	patience := 30 * time.Second
	if !comes(first.registered, patience) {
		t.Fatal("the client does not register")
	}
	begin()
	if !comes(first.pinged, patience) { // a second later, when it does not connect for the first time any more
		t.Fatal("the client does not ping")
	}
	first.stop(reset)
	second := coordinate(t, address)
	if !back {
		patience = 2 * time.Second
	}
	began := time.Now()
	came := comes(second.registered, patience)
	if came != back {
		complain(t, "the client comes back: %t, want %t", came, back)
	}
	if came {
		t.Logf("the client is back after %v", time.Since(began).Round(time.Millisecond))
		begin()
	}
}
