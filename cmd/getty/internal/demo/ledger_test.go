// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errSend = errors.New("send")

// put begins a message as a sender does.
func (a *account) put(id uint64) {
	<-a.slots
	a.begin(id, time.Now())
}

func (a *account) ack(id uint64) { a.acked(id, time.Now()) }

// late is the timeout of all that is in flight.
func (a *account) late() { a.expire(time.Now().Add(time.Hour)) }

// Whatever order its three events come in, a message is settled once.
func TestAccount(t *testing.T) {
	tests := map[string]struct {
		do   func(a *account)
		want sum
		bad  bool
	}{
		"acknowledged":                 {func(a *account) { a.put(1); a.returned(1, nil); a.ack(1); a.close() }, sum{sent: 1, acked: 1}, false},
		"acknowledged before return":   {func(a *account) { a.put(1); a.ack(1); a.returned(1, nil); a.close() }, sum{sent: 1, acked: 1}, false},
		"failed":                       {func(a *account) { a.put(1); a.returned(1, errSend); a.close() }, sum{sent: 1, failed: 1}, false},
		"failed after close":           {func(a *account) { a.put(1); a.close(); a.returned(1, errSend) }, sum{sent: 1, failed: 1}, false},
		"lost":                         {func(a *account) { a.put(1); a.returned(1, nil); a.close() }, sum{sent: 1, lost: 1}, false},
		"lost before return":           {func(a *account) { a.put(1); a.close(); a.returned(1, nil) }, sum{sent: 1, lost: 1}, false},
		"never settled":                {func(a *account) { a.put(1); a.returned(1, nil) }, sum{sent: 1}, true},
		"acknowledged twice":           {func(a *account) { a.put(1); a.returned(1, nil); a.ack(1); a.ack(1) }, sum{sent: 1, acked: 1, twice: 1}, true},
		"acknowledged and failed":      {func(a *account) { a.put(1); a.ack(1); a.returned(1, errSend) }, sum{sent: 1, acked: 1, twice: 1}, true},
		"failed and acknowledged":      {func(a *account) { a.put(1); a.returned(1, errSend); a.ack(1) }, sum{sent: 1, failed: 1, twice: 1}, true},
		"acknowledged after close":     {func(a *account) { a.put(1); a.returned(1, nil); a.close(); a.ack(1) }, sum{sent: 1, lost: 1, twice: 1}, true},
		"timed out":                    {func(a *account) { a.put(1); a.returned(1, nil); a.late(); a.close() }, sum{sent: 1, expired: 1}, false},
		"timed out, but inside Send":   {func(a *account) { a.put(1); a.late(); a.returned(1, nil); a.ack(1) }, sum{sent: 1, acked: 1}, false},
		"failed after the timeout":     {func(a *account) { a.put(1); a.late(); a.returned(1, errSend) }, sum{sent: 1, failed: 1}, false},
		"acknowledged, timeout after":  {func(a *account) { a.put(1); a.returned(1, nil); a.ack(1); a.late() }, sum{sent: 1, acked: 1}, false},
		"in time":                      {func(a *account) { a.put(1); a.returned(1, nil); a.expire(time.Now().Add(-time.Hour)); a.ack(1) }, sum{sent: 1, acked: 1}, false},
		"acknowledged late":            {func(a *account) { a.put(1); a.returned(1, nil); a.late(); a.ack(1) }, sum{sent: 1, expired: 1, late: 1}, false},
		"acknowledged late twice":      {func(a *account) { a.put(1); a.returned(1, nil); a.late(); a.ack(1); a.ack(1) }, sum{sent: 1, expired: 1, late: 1, twice: 1}, true},
		"late and after close":         {func(a *account) { a.put(1); a.returned(1, nil); a.late(); a.close(); a.ack(1) }, sum{sent: 1, expired: 1, twice: 1}, true},
		"acknowledged, but never sent": {func(a *account) { a.ack(7) }, sum{twice: 1}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var l ledger
			a := newAccount(&l, 2)
			tt.do(a)
			if got := l.sum(); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if err := l.sum().check(); (err != nil) != tt.bad {
				t.Errorf("check: %v", err)
			}
			if free := len(a.slots) + len(a.open); free != 2 {
				t.Errorf("%d slots are free or in use, want 2", free)
			}
		})
	}
}

// A doctored ledger does not add up.
func TestCheck(t *testing.T) {
	good := sum{sent: 12, acked: 7, failed: 1, lost: 2, expired: 2, late: 1}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]sum{
		"one more sent": {sent: 1}, "one more acknowledged": {acked: 1},
		"one less lost": {lost: -1}, "one more timed out": {expired: 1}, "one twice": {twice: 1},
	} {
		if err := good.add(change).check(); err == nil {
			t.Errorf("%s: it adds up", name)
		}
	}
}

// OnClose comes while senders are inside Send. As in a session, the reader's
// goroutine is the one that acknowledges and then closes.
func TestAccountConcurrently(t *testing.T) {
	var l ledger
	for range 500 {
		a := newAccount(&l, 16)
		accepted := make(chan uint64, 16)
		var wg sync.WaitGroup
		for id := range uint64(12) {
			wg.Go(func() {
				a.put(id)
				if id%4 == 0 {
					a.returned(id, errSend)
					return
				}
				accepted <- id
				a.returned(id, nil)
			})
		}
		for range 5 {
			a.ack(<-accepted)
		}
		a.close()
		wg.Wait()
	}
	want := sum{sent: 500 * 12, acked: 500 * 5, failed: 500 * 3, lost: 500 * 4}
	if got := l.sum(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	if p50, p99 := h.take(); p50 != 0 || p99 != 0 {
		t.Errorf("empty: %v, %v", p50, p99)
	}
	for i := range 1000 {
		h.record(time.Duration(i+1) * time.Microsecond)
	}
	p50, p99 := h.take()
	near := func(got, want time.Duration) bool { return got > want*9/10 && got < want*11/10 }
	if !near(p50, 500*time.Microsecond) || !near(p99, 990*time.Microsecond) {
		t.Errorf("%v, %v", p50, p99)
	}
	h.record(0)
	h.record(1 << 62)
	h.take()
}
