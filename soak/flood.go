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
	quietShare   = 3        // the quiet time before the flood is a third of it
	floodSlack   = 64 << 20 // of the server's resident memory
	floodRatio   = 2        // of p99
	leastSamples = 1000     // for a p99 to be compared
)

// flood has hostile peers attack while others go on as before, and checks that
// these notice nothing and that the server's memory stays bounded.
func flood(ctx context.Context, out io.Writer, o options, srv *process) error {
	c := &campaign{srv: srv, out: out, period: floodPeriod, counts: make(map[string]int), began: time.Now()}
	if err := c.connect(ctx, o.sessions); err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil { // the pools are new
		return errors.Join(err, c.disconnect())
	}
	c.rtt.take()
	quiet, err := c.observe(ctx, o.duration/quietShare)
	if err != nil {
		return errors.Join(err, c.disconnect())
	}
	stop, err := startAttack(plan{URLs: srv.listn.URLs, Cert: srv.listn.Cert, Conns: o.flood})
	if err != nil {
		return errors.Join(err, c.disconnect())
	}
	loud, err := c.observe(ctx, o.duration)
	scores, serr := stop()
	err = errors.Join(err, serr)
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
	c.printf("\nothers without the flood: p50 %v, p99 %v; with it: p50 %v, p99 %v\n", quiet.p50, quiet.p99, loud.p50, loud.p99)
	c.printf("server's resident memory: %d KiB before, at most %d KiB\n", quiet.resident>>10, loud.resident>>10)
	if loud.resident > quiet.resident+floodSlack {
		err = errors.Join(err, errors.New("the server's memory has grown too much"))
	}
	if o.ratio && (quiet.n < leastSamples || loud.p99 > floodRatio*quiet.p99) {
		err = errors.Join(err, fmt.Errorf("p99 of the others is %v with the flood, %v without (%d round trips)", loud.p99, quiet.p99, quiet.n))
	}
	return errors.Join(err, srv.end("shutdown"))
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
