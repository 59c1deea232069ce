// SPDX-License-Identifier: Apache-2.0

package consumers_test

import (
	"testing"
	"time"
)

var seataGo = consumer{
	module: "github.com/seata/seata-go", version: "v1.2.0",
	flags:    []string{"-gcflags=all=-l"}, // its tests replace functions at run time, which must not be inlined
	standIns: map[string]string{"vimagination.zapto.org/byteio": "byteio", "vimagination.zapto.org/memio": "memio"},
}

var seataGoSuites = []suite{
	{pkg: "pkg/remoting/getty", tests: 22},
	{pkg: "pkg/remoting/processor/client", tests: 11},
}

func TestSeataGo(t *testing.T) {
	t.Parallel()
	c := seataGo.checkOut(t)
	t.Run("tests", func(t *testing.T) { c.tests(t, seataGoSuites) })
	t.Run("tests with -race", func(t *testing.T) { c.tests(t, seataGoSuites, "-race") })
	t.Run("restarted coordinator", func(t *testing.T) {
		program := c.build(t, "seata-client")
		for name, reset := range map[string]bool{"crash": true, "orderly": false} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				restartedCoordinator(t, program, reset)
			})
		}
	})
}

// restartedCoordinator takes the coordinator away from a client, which is to come back by itself.
func restartedCoordinator(t *testing.T, program string, reset bool) {
	const patience = 30 * time.Second
	first := coordinate(t, "127.0.0.1:0")
	address := first.l.Addr().String()
	client := start(t, program, "-address", address)
	begin := func() {
		t.Helper()
		var begun struct{ XID, Error string }
		if client.ask(&begun, "transaction"); begun.XID != "xid" {
			complain(t, "got %+v", begun)
		}
	}
	if !first.awaitsClient(patience) {
		t.Fatal("the client does not register")
	}
	begin()
	first.stop(reset)
	second := coordinate(t, address)
	began := time.Now()
	if !second.awaitsClient(patience) {
		complain(t, "the client does not come back")
		return
	}
	t.Logf("the client is back after %v", time.Since(began).Round(time.Millisecond))
	begin()
}
