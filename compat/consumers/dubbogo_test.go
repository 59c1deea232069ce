// SPDX-License-Identifier: Apache-2.0

package consumers_test

import (
	"testing"
	"time"
)

var dubboGo = consumer{module: "dubbo.apache.org/dubbo-go/v3", version: "v3.3.2"}

var dubboGoSuites = []suite{
	{
		pkg: "remoting/getty", tests: 25,
		// A test configures its server through a global variable while the server of an earlier one answers.
		races: []string{"dubbo.apache.org/dubbo-go/v3/remoting/getty.SetServerConfig"},
	},
	{pkg: "protocol/dubbo", tests: 61},
}

func TestDubboGo(t *testing.T) {
	t.Parallel()
	c := dubboGo.checkOut(t)
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

// restartedProvider kills a provider between the calls of a consumer, and while they are made. Calls fail as long as
// there is none, and from the first that succeeds again none does. Calls that wait for an answer then run into
// dubbo-go's timeout of 3 s; no call takes much longer.
func restartedProvider(t *testing.T, program string) {
	const calls, workers = 6400, 64
	address := freeAddress(t)
	provide := func() *process { return start(t, nil, program, "-address", address, "-provide") }
	provider := provide()
	consumer := start(t, nil, program, "-address", address)
	many := func(calls, workers int, half func()) (o outcome) {
		t.Helper()
		var reached string
		consumer.ask(&reached, "calls %d %d", calls, workers)
		half()
		consumer.hear(&o)
		return o
	}
	allGood := func(when string) {
		t.Helper()
		o := many(calls, workers, func() {})
		t.Logf("%s: %.0f calls/s, the slowest %v", when, o.Rate, o.Slowest)
		if o.Good != calls {
			complain(t, "%s: %d good, %d wrong, %d failed: %s", when, o.Good, o.Wrong, o.Failed, o.Error)
		}
	}
	again := func() {
		t.Helper()
		var f first
		consumer.ask(&f, "until")
		t.Logf("the first good call %v after the provider came back, %d failed", f.After, f.Failed)
	}
	allGood("before")

	provider.kill()
	none := many(2, 1, func() {})
	t.Logf("without a provider: %d of 2 failed: %s, the slowest %v", none.Failed, none.Error, none.Slowest)
	if none.Failed != 2 {
		complain(t, "%d calls succeed without a provider", none.Good)
	}
	provider = provide()
	again()
	allGood("afterwards")

	o := many(calls, workers, func() {
		provider.kill()
		provide()
	})
	t.Logf("killed meanwhile: %d good, %d failed: %s, the slowest %v", o.Good, o.Failed, o.Error, o.Slowest)
	if o.Wrong != 0 || o.Good < calls/2-workers || o.Slowest > 10*time.Second {
		complain(t, "killed meanwhile: %+v", o)
	}
	again()
	allGood("at last")
}
