// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	controlShare = 3        // the times before the flood are a third of it each
	floodSlack   = 64 << 20 // of the server's resident memory
	floodRatio   = 2        // of p99
	leastSamples = 1000     // for a p99 to be compared
)

// flood has hostile peers attack while others go on as before, and checks that
// these notice nothing and that the server's memory stays bounded. Before that
// the same peers attack the decoy, a server in another process: what their own
// work takes from the machine delays the others then as well.
func flood(ctx context.Context, out io.Writer, o options, srv, decoy *process) error {
	c := &campaign{srv: srv, out: out, period: floodPeriod, counts: make(map[string]int), began: time.Now()}
	if err := errors.Join(decoy.listen(), c.connect(ctx, o.sessions)); err != nil {
		return err
	}
	var quiet, control, loud seen
	var scores []score
	err := pause(ctx, time.Second) // the pools are new
	c.rtt.take()
	if err == nil {
		quiet, err = c.observe(ctx, o.duration/controlShare)
	}
	if err == nil {
		control, _, err = c.attacked(ctx, decoy, o.flood, o.duration/controlShare)
	}
	if err == nil {
		loud, scores, err = c.attacked(ctx, srv, o.flood, o.duration)
	}
	for _, l := range c.loads {
		// A session of these that ended, or a refused message, is somebody else's error.
		if n := l.closes.Load(); n > 0 {
			err = errors.Join(err, fmt.Errorf("%s: %d sessions of others have ended", l.name, n))
		}
		if n := l.books.refused.Load(); n > 0 {
			err = errors.Join(err, fmt.Errorf("%s: %d messages of others were refused", l.name, n))
		}
	}
	err = errors.Join(err, c.disconnect())
	for _, l := range c.loads {
		err = errors.Join(err, l.books.check(l.name))
	}
	c.sums()
	for i, s := range scores {
		c.printf("%-6s %9d conns, %9d frames, %11d bytes of %d hostile peers\n",
			transports[i], s.Conns, s.Frames, s.Bytes, (o.flood+len(transports)-1-i)/len(transports))
	}
	c.printf("\nround trips of the others: alone p50 %v, p99 %v; hostile peers at another server p50 %v, p99 %v; at theirs p50 %v, p99 %v\n",
		quiet.p50, quiet.p99, control.p50, control.p99, loud.p50, loud.p99)
	c.printf("server's resident memory: %d KiB before, at most %d KiB\n", quiet.resident>>10, loud.resident>>10)
	if loud.resident > quiet.resident+floodSlack {
		err = errors.Join(err, errors.New("the server's memory has grown too much"))
	}
	if o.ratio && (control.n < leastSamples || loud.p99 > floodRatio*control.p99) {
		err = errors.Join(err, fmt.Errorf("p99 of the others is %v with the flood, %v with it elsewhere (%d round trips)", loud.p99, control.p99, control.n))
	}
	return errors.Join(err, srv.end("shutdown"), decoy.end("shutdown"))
}

// attacked observes the others for a while in which the target is attacked.
func (c *campaign) attacked(ctx context.Context, target *process, peers int, d time.Duration) (s seen, scores []score, err error) {
	stop, err := startAttack(plan{URLs: target.listn.URLs, Cert: target.listn.Cert, Conns: peers})
	if err != nil {
		return s, nil, err
	}
	s, err = c.observe(ctx, d)
	scores, serr := stop()
	return s, scores, errors.Join(err, serr)
}

// seen is what was observed of the others and of the server for a while.
type seen struct {
	n        int64
	p50, p99 time.Duration
	resident int64
}

func (c *campaign) observe(ctx context.Context, d time.Duration) (s seen, err error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		a, err := c.srv.do(order{Do: "measure"})
		if err != nil {
			return s, err
		}
		s.resident = max(s.resident, a.Usage.Resident)
		select {
		case <-t.C:
		case <-ctx.Done():
			s.n, s.p50, s.p99 = c.rtt.take()
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return s, nil
			}
			return s, ctx.Err()
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
