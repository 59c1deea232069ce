// SPDX-License-Identifier: Apache-2.0

package gettytest

import (
	"context"
	"fmt"
	"slices"

	"github.com/getty-net/getty"
)

// The waiting for events. Each helper looks at everything that was recorded
// since the beginning, so none can come too late; each returns as soon as it is
// content, or with an error that wraps the cause of ctx's end and says what
// there was. A callback must not wait for an event that follows it.

// Wait waits until done returns true for the events so far. done is called
// after each event, with the recorder locked: it must not call its methods, nor
// keep events.
func (r *Recorder[M]) Wait(ctx context.Context, done func(events []Event[M]) bool) error {
	return r.wait(ctx, "Wait", done)
}

// WaitOpen waits until n sessions have opened, whatever became of them, and
// returns these.
func (r *Recorder[M]) WaitOpen(ctx context.Context, n int) ([]*getty.Session[M], error) {
	if err := r.waitCount(ctx, Opened, n); err != nil {
		return nil, err
	}
	return r.Sessions()[:n], nil
}

// WaitMessages waits until n messages have come, of all sessions together, and
// returns the first n.
func (r *Recorder[M]) WaitMessages(ctx context.Context, n int) ([]M, error) {
	if err := r.waitCount(ctx, Message, n); err != nil {
		return nil, err
	}
	return r.Messages()[:n], nil
}

// WaitClosed waits until at least one session has opened and all that have
// opened are closed.
func (r *Recorder[M]) WaitClosed(ctx context.Context) error {
	return r.wait(ctx, "WaitClosed", func(events []Event[M]) bool {
		n := count(events, Closed)
		return n > 0 && n == count(events, Opened)
	})
}

func (r *Recorder[M]) waitCount(ctx context.Context, k EventKind, n int) error {
	return r.wait(ctx, fmt.Sprintf("wait for %d events %q", n, k), func(events []Event[M]) bool {
		return count(events, k) >= n
	})
}

func count[M any](events []Event[M], k EventKind) (n int) {
	for i := range events {
		if events[i].Kind == k {
			n++
		}
	}
	return n
}

// wait uses a condition and no channel, so that a Recorder made outside a
// bubble can be waited for inside.
func (r *Recorder[M]) wait(ctx context.Context, what string, done func(events []Event[M]) bool) error {
	defer context.AfterFunc(ctx, func() {
		r.lock()
		defer r.mu.Unlock()
		r.cond.Broadcast()
	})()
	r.lock()
	defer r.mu.Unlock()
	for !done(r.events) {
		if ctx.Err() != nil {
			return fmt.Errorf("gettytest: %s: have %s: %w", what, summary(r.events), context.Cause(ctx))
		}
		r.cond.Wait()
	}
	return nil
}

// summary is the last events, for errors.
func summary[M any](events []Event[M]) string {
	const most = 8
	s := fmt.Sprint(slices.Clone(events[max(len(events)-most, 0):]))
	if len(events) > most {
		return fmt.Sprintf("%d events, the last %s", len(events), s)
	}
	return s
}
