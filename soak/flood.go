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
	floodRounds = 15
	floodSettle = time.Second // all of them come and go at once
)

// flood has hostile peers attack while others go on as before, and checks that
// these notice nothing and that the server's memory stays bounded. It goes in
// rounds, since one minute of a machine is not like the next: in each the others
// are alone for as long as they are under attack.
func flood(ctx context.Context, out io.Writer, o options, srv *process) error {
	c := &campaign{srv: srv, out: out, period: floodPeriod, counts: make(map[string]int), began: time.Now()}
	if err := c.connect(ctx, o.sessions); err != nil {
		return err
	}
	rounds := o.rounds()
	var seen sightings
	totals := make([]score, len(transports))
	var err error
	for range rounds {
		if err == nil {
			err = c.round(ctx, o, &seen, totals)
		}
	}
	err = errors.Join(err, c.disturbed(), c.disconnect())
	for _, l := range c.loads {
		err = errors.Join(err, l.books.check(l.name))
		if n := l.books.expired.Load(); n > 0 { // on udp, where nothing else tells of a loss
			err = errors.Join(err, fmt.Errorf("%s: %d messages of others were lost", l.name, n))
		}
	}
	c.sums()
	for i, s := range totals {
		c.printf("%-6s %9d conns, %9d frames, %11d bytes of %d hostile peers\n",
			transports[i], s.Conns, s.Frames, s.Bytes, (o.flood+len(transports)-1-i)/len(transports))
	}
	return errors.Join(err, seen.report(c, o.ratio), srv.end("shutdown"))
}

// rounds is how many there are: without a claim about p99 one will do.
func (o options) rounds() int {
	if o.ratio {
		return floodRounds
	}
	return 1
}

// round observes the others alone, and as long again under attack.
func (c *campaign) round(ctx context.Context, o options, to *sightings, totals []score) error {
	d := o.duration / time.Duration(o.rounds())
	if err := pause(ctx, floodSettle); err != nil { // the pools are new, or the attackers just gone
		return err
	}
	c.rtt.take()
	quiet, err := c.observe(ctx, d)
	if err != nil {
		return err
	}
	loud, scores, err := c.attacked(ctx, o.flood, d)
	if err != nil {
		return err
	}
	for i, s := range scores {
		totals[i].Conns += s.Conns
		totals[i].Frames += s.Frames
		totals[i].Bytes += s.Bytes
	}
	to.quiet, to.loud = append(to.quiet, quiet), append(to.loud, loud)
	return nil
}

// attacked observes the others for a while in which their server is attacked.
func (c *campaign) attacked(ctx context.Context, peers int, d time.Duration) (s sighting, scores []score, err error) {
	stop, err := startAttack(plan{URLs: c.srv.listn.URLs, Cert: c.srv.listn.Cert, Conns: peers})
	if err != nil {
		return s, nil, err
	}
	if err = pause(ctx, floodSettle); err == nil {
		c.rtt.take()
		s, err = c.observe(ctx, d)
	}
	scores, serr := stop()
	return s, scores, errors.Join(err, serr)
}

// disturbed is what happened to the sessions of the others: nothing that they
// did themselves ends one, or has a message refused.
func (c *campaign) disturbed() (err error) {
	for _, l := range c.loads {
		if n := l.closes.Load(); n > 0 {
			err = errors.Join(err, fmt.Errorf("%s: %d sessions of others have ended", l.name, n))
		}
		if n := l.books.refused.Load(); n > 0 {
			err = errors.Join(err, fmt.Errorf("%s: %d messages of others were refused", l.name, n))
		}
	}
	return err
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
