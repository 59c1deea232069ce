// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/gettytest"
)

// throttled is a configuration with a keepalive of 3 s in all, whose sessions
// get ten messages a second.
func throttled() getty.Config {
	cfg := beat(2)
	cfg.IdleTimeout = 20 * time.Second
	cfg.Limits = getty.Limits{Messages: getty.Rate{PerSecond: 10}, Throttle: true}
	return cfg
}

// A peer that vanishes while it is throttled is missed as soon as any other.
func TestAPeerThatVanishesWhileItIsThrottled(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, throttled(), nil)
		nc := v.dial(t)
		tp := v.tape(nc)
		begin := v.since()
		write(t, nc, strings.Repeat("m\n", 25)) // 1.5 s beyond the burst
		synctest.Wait()
		time.Sleep(1200 * time.Millisecond)
		if got := tp.text(); got != "beat\n" {
			t.Errorf("the peer got %q in the pause", got)
		}
		v.Partition(gettytest.BothWays)
		v.wantEndAt(t, r, begin+3*time.Second, getty.ErrKeepalive)
	})
}

// One that resets is found out by the keepalive, too, before its pause is over
// and although it left messages behind.
func TestAPeerThatResetsWhileItIsThrottled(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		cfg := throttled()
		cfg.Keepalive.Misses = 10
		cfg.CloseTimeout = 500 * time.Millisecond
		v.serve(t, r, cfg, nil)
		nc := v.dial(t)
		write(t, nc, strings.Repeat("m\n", 60)) // 5 s beyond the burst
		synctest.Wait()
		write(t, nc, strings.Repeat("m\n", 60))
		v.Reset()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(r.closed) == 0 {
			t.Fatal("the session is open")
		}
		if kind := getty.CauseKind(<-r.closed); kind != "reset" {
			t.Errorf("it ended as %q", kind)
		}
	})
}

// A peer that is alive may be throttled for ever: that nothing is read of it is
// not its silence.
func TestAPeerThatStaysThrottled(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		v.SetFaults(gettytest.Faults{Buffer: 32})
		r := record()
		v.serve(t, r, throttled(), nil)
		nc := v.dial(t)
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		begin := v.since()
		for range 300 {
			write(t, nc, strings.Repeat("m\n", 10))
		}
		wantOpen(t, r)
		if took := v.since() - begin; took < 4*time.Minute || took > 6*time.Minute {
			t.Errorf("3000 messages took %v at ten a second", took)
		}
	})
}

// A pause is bounded, whatever the debt.
func TestAThrottledSessionThatWouldWaitTooLong(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg       getty.Config
		rate      int
		much, not int // messages at once, ten of them free
	}{
		"by itself": {getty.Config{}, 1, 69, 71},
		"idle":      {getty.Config{IdleTimeout: 20 * time.Second}, 10, 109, 111},
		"keepalive": {beat(2), 10, 29, 31},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, v *virtual) {
				r := record()
				cfg := tc.cfg
				cfg.Limits = getty.Limits{Messages: getty.Rate{PerSecond: tc.rate, Burst: 10}, Throttle: true}
				v.serve(t, r, cfg, nil)
				much, not := v.dial(t), v.dial(t)
				write(t, much, strings.Repeat("m\n", tc.much))
				wantOpen(t, r)
				write(t, not, strings.Repeat("m\n", tc.not))
				synctest.Wait()
				if len(r.closed) == 0 {
					t.Fatal("the session is open")
				}
				wantCause(t, <-r.closed, getty.ErrRateLimit)
			})
		})
	}
}

// Time in which nothing is read does not count against a message, and no other
// time is given.
func TestLimitsOfTimeStandStillInAPause(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{
			MessageTimeout: 2 * time.Second,
			Limits:         getty.Limits{Messages: getty.Rate{PerSecond: 1}, Throttle: true},
		}, nil)
		nc := v.dial(t)
		write(t, nc, "1\n2\n3\n4\npart") // a pause of 3 s
		begin := v.since()
		time.Sleep(4 * time.Second)
		write(t, nc, "ial\n")
		synctest.Wait()
		wantOpen(t, r)
		time.Sleep(time.Second)
		write(t, nc, "6\n7\npart") // 1 s
		v.wantEndAt(t, r, begin+8*time.Second, getty.ErrMessageTimeout)
	})
	inVirtualStream(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{
			Limits: getty.Limits{FirstMessageTimeout: 2 * time.Second, Bytes: getty.Rate{PerSecond: 100}, Throttle: true},
		}, nil)
		nc := v.dial(t)
		begin := v.since()
		write(t, nc, strings.Repeat("x", 400)) // 3 s
		v.wantEndAt(t, r, begin+5*time.Second, getty.ErrFirstMessage)
	})
}

// Nor is a message slow whose bytes nobody reads meanwhile.
func TestMinRateStandsStillInAPause(t *testing.T) {
	inVirtualStream(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{
			Limits: getty.Limits{MinRate: 50, Bytes: getty.Rate{PerSecond: 100}, Throttle: true},
		}, nil)
		nc := v.dial(t)
		write(t, nc, strings.Repeat(strings.Repeat("x", 99)+"\n", 20)+"part") // a pause of 19 s
		time.Sleep(20 * time.Second)
		wantOpen(t, r)
		v.wantEndAt(t, r, v.since()+5*time.Second, getty.ErrMessageTimeout)
	})
}
