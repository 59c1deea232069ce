// SPDX-License-Identifier: Apache-2.0

package consumers_test

import (
	"testing"
	"time"
)

var dubboGo = consumer{module: "dubbo.apache.org/dubbo-go/v3", version: "v3.3.2"}

// A client is printed without its lock when it closes, while sessions are still being added to it and removed. The
// drop-in leaves time for that, but a busy machine may take it.
const printsClient = "dubbo.apache.org/dubbo-go/v3/remoting/getty.(*gettyRPCClient).close"

var dubboGoSuites = []suite{
	{
		pkg: "remoting/getty", tests: 25,
		// A test configures its server through a global variable while the server of an earlier one answers.
		races: []string{"dubbo.apache.org/dubbo-go/v3/remoting/getty.SetServerConfig", printsClient},
	},
	{pkg: "protocol/dubbo", tests: 61, races: []string{printsClient}},
}

func TestDubboGo(t *testing.T) {
	t.Parallel()
	c := dubboGo.checkOut(t, *original)
	t.Run("tests", func(t *testing.T) { c.tests(t, dubboGoSuites) })
	t.Run("tests with -race", func(t *testing.T) { c.tests(t, dubboGoSuites, "-race") })
	t.Run("restarted provider", func(t *testing.T) { restartedProvider(t, c.build(t, "dubbo-echo")) })
}

// outcome and first are what dubbo-echo answers.
type outcome struct {
	Good, Wrong, Failed int
	Error               string
	Rate                float64
	Slowest             time.Duration
}

type first struct {
	Failed int
	After  time.Duration
}

// restarted is what restartedProvider has measured.
type restarted struct {
	before, afterwards outcome
	cpu                time.Duration // of all processes, from their start to their end
}

// restartedProvider kills a provider between the calls of a consumer. Calls fail as long as there is none, and from the
// first that succeeds again none does. It is not killed while it answers, and calls leave the consumer time to notice: dubbo-go
// may dereference nil otherwise, in Client.selectSession against resetRpcConn.
func restartedProvider(t testing.TB, program string) (r restarted) {
	t.Helper()
	const calls, workers = 6400, 64
	address := freeAddress(t)
	provider := start(t, nil, program, "-address", address, "-provide")
	consumer := start(t, nil, program, "-address", address)
	all := func(when string) (o outcome) {
		t.Helper()
		consumer.ask(&o, "calls %d %d", calls, workers)
		t.Logf("%s: %.0f calls/s, the slowest %v", when, o.Rate, o.Slowest)
		if o.Good != calls {
			complain(t, "%s: %d good, %d wrong, %d failed: %s", when, o.Good, o.Wrong, o.Failed, o.Error)
		}
		return o
	}
	r.before = all("before")

	r.cpu += provider.kill()
	time.Sleep(100 * time.Millisecond) // nothing of dubbo-go tells that it has noticed
	var none outcome
	consumer.ask(&none, "calls 2 1")
	t.Logf("without a provider: %d of 2 failed: %s, the slowest %v", none.Failed, none.Error, none.Slowest)
	if none.Failed != 2 {
		complain(t, "%d calls succeed without a provider", none.Good)
	}

	provider = start(t, nil, program, "-address", address, "-provide")
	var again first
	consumer.ask(&again, "until")
	t.Logf("the first good call %v after the provider came back, %d failed", again.After, again.Failed)
	r.afterwards = all("afterwards")
	r.cpu += provider.kill() + consumer.kill()
	return r
}
