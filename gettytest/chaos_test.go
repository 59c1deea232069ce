// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/gettytest"
)

// TestPairUnderChaos sends numbered messages over a network that is reset and
// cut all the time, and checks what getty promises all the same.
func TestPairUnderChaos(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, fmt.Sprint("seed=", seed), func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 0))
			server, client := echo(), new(recorder)
			p := linePair(t, server, client, gettytest.Options{
				Faults: gettytest.Faults{
					Seed: seed, Latency: time.Millisecond, Jitter: 10 * time.Millisecond,
					MaxRead: 40, MaxWrite: 20, Buffer: 50, ResetAfter: 2000,
				},
				Config: getty.Config{IdleTimeout: 20 * time.Second},
				Client: getty.ClientConfig{PoolSize: 2},
			})
			accepted := 0
			for i := range 300 {
				switch dice.IntN(40) {
				case 0:
					p.Network.Reset()
				case 1:
					p.Network.Partition(gettytest.Direction(1 + dice.IntN(3)))
				case 2, 3:
					p.Network.Heal()
				}
				time.Sleep(time.Duration(dice.IntN(100)) * time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				if p.Client.Send(ctx, fmt.Sprintf("%04d %s", i, strings.Repeat("x", dice.IntN(50)))) == nil {
					accepted++
				}
				cancel()
			}
			p.Network.Heal()
			check(t, p.Client.Shutdown(t.Context()))
			check(t, p.Server.Shutdown(t.Context()))
			checkLife(t, server)
			checkLife(t, client)
			if got := len(server.Texts()); got > accepted || got < 10 {
				t.Errorf("%d messages came, %d were accepted", got, accepted)
			}
		})
	}
}

// checkLife checks that each session had one open, first, one close, last, and
// its messages in order.
func checkLife(t *testing.T, r *recorder) {
	t.Helper()
	last := make(map[*getty.Session[string]]string)
	const closed = "closed"
	for _, e := range r.Events() {
		before, known := last[e.Session]
		switch {
		case e.Kind == gettytest.Opened == known, before == closed:
			t.Errorf("%v comes after %q", e, before)
		case e.Kind == gettytest.Message && e.Text <= before:
			t.Errorf("message %q comes after %q", e.Text, before)
		}
		last[e.Session] = e.Text
		if e.Kind == gettytest.Closed {
			last[e.Session] = closed
		}
	}
	for s, l := range last {
		if l != closed {
			t.Errorf("session %d has no close, the last message was %q", s.ID(), l)
		}
	}
}
