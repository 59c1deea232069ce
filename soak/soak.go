// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

const (
	faultShare   = 100              // one of so many sessions has a fault each second
	restartEvery = 20 * time.Second // less in a short run
	downTime     = 500 * time.Millisecond
	forgetEvery  = 30 // seconds
	connectIn    = time.Minute

	// At the end goroutines and descriptors are those of the start. The live heap
	// may have grown, whatever the length of the run, by what the libraries keep and
	// by what the runtime keeps of the most goroutines that there ever were: some
	// 450 bytes of each, and at a restart a session has a few.
	heapSlack    = 2 << 20
	sessionSlack = 2 << 10
)

// campaign is one run. Its goroutine owns everything.
type campaign struct {
	srv      *process
	out      io.Writer
	period   time.Duration // see load.start
	rtt      histogram
	loads    []*load
	counts   map[string]int
	restarts int
	slack    int64 // of the live heap
	samples  []sample
	began    time.Time
}

// soak runs the whole thing and checks its end.
func soak(ctx context.Context, out io.Writer, o options, srv *process) error {
	c := &campaign{srv: srv, out: out, period: soakPeriod, counts: make(map[string]int)}
	c.slack = heapSlack + sessionSlack*int64(o.sessions)
	// One small round first: what is made once by the runtime and the libraries,
	// such as the poller's descriptors, is no leak.
	if err := c.connect(ctx, len(transports)); err != nil {
		return err
	}
	if err := errors.Join(c.disconnect(), srv.end("shutdown")); err != nil {
		return err
	}
	before, err := c.rest(nil)
	if err != nil {
		return err
	}
	c.began = time.Now()
	if err := c.connect(ctx, o.sessions); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	err = c.watch(ctx, min(restartEvery, o.duration/3))
	err = errors.Join(err, c.disconnect(), srv.end("shutdown"))
	for _, l := range c.loads {
		err = errors.Join(err, l.books.check(l.name))
	}
	c.sums()
	c.loads = nil
	after, rerr := c.rest(&before)
	c.report(before, after)
	err = errors.Join(err, rerr)
	if o.out != "" {
		err = errors.Join(err, writeCSV(filepath.Join(o.out, "soak.csv"), c.samples),
			writeSVG(filepath.Join(o.out, "soak.svg"), c.samples))
	}
	return err
}

// connect starts the server and the pools, and waits until they are full.
func (c *campaign) connect(ctx context.Context, sessions int) error {
	if err := c.srv.listen(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, connectIn)
	defer cancel()
	c.loads = nil
	for i, url := range c.srv.listn.URLs {
		size := sessions / len(transports)
		if i < sessions%len(transports) {
			size++
		}
		l, err := newLoad(url, c.srv.listn.Cert, size, &c.rtt)
		if err != nil {
			return err
		}
		c.loads = append(c.loads, l)
		l.start(c.period)
		if err := l.client.Connect(ctx); err != nil {
			return fmt.Errorf("%s: connect: %w", l.name, err)
		}
	}
	return nil
}

func (c *campaign) disconnect() (err error) {
	ended := make(chan error, len(c.loads))
	for _, l := range c.loads {
		go func() { ended <- l.end() }()
	}
	for range c.loads {
		err = errors.Join(err, <-ended)
	}
	return err
}

// watch takes samples and lets faults and restarts happen until ctx ends.
func (c *campaign) watch(ctx context.Context, restartPeriod time.Duration) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	restart := time.NewTimer(restartPeriod)
	defer restart.Stop()
	back := make(chan error, 1)
	away, owed := false, make([]float64, len(c.loads))
	for n := 1; ; n++ {
		select {
		case <-second.C:
			if err := c.sample(); err != nil {
				return err
			}
			for i, l := range c.loads {
				owed[i] += float64(l.size) / faultShare
				l.hurt(int(owed[i]), c.counts)
				owed[i] -= float64(int(owed[i]))
				if n%forgetEvery == 0 {
					l.forget()
				}
			}
		case <-restart.C:
			how := [...]string{"close", "shutdown"}[c.restarts%2]
			c.restarts++
			away = true
			go func() {
				err := c.srv.end(how)
				if err == nil {
					<-time.After(downTime)
					err = c.srv.listen()
				}
				back <- err
			}()
		case err := <-back:
			if away = false; err != nil {
				return err
			}
			restart.Reset(restartPeriod)
		case <-ctx.Done():
			if away {
				return <-back
			}
			return nil
		}
	}
}

// rest measures both processes when nothing runs. With a usage of before it
// waits until they are back there, as long as timers of sessions may take, and
// says what is not.
func (c *campaign) rest(before *pair) (p pair, err error) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for deadline := time.Now().Add(endPatience); ; <-t.C {
		a, err := c.srv.do(order{Do: "measure", GC: true})
		if err != nil {
			return p, err
		}
		p = pair{client: measure(true), server: a.Usage}
		if before == nil {
			return p, nil
		}
		err = errors.Join(p.client.check("clients", before.client, c.slack), p.server.check("server", before.server, c.slack))
		if err == nil || time.Now().After(deadline) {
			return p, err
		}
	}
}

type pair struct{ client, server usage }

func (u usage) check(whose string, before usage, slack int64) error {
	var errs []error
	if u.Goroutines > before.Goroutines {
		errs = append(errs, fmt.Errorf("%s: %d goroutines, %d before", whose, u.Goroutines, before.Goroutines))
	}
	if u.Descriptors > before.Descriptors {
		errs = append(errs, fmt.Errorf("%s: %d descriptors, %d before: %q, before %q",
			whose, u.Descriptors, before.Descriptors, u.Targets, before.Targets))
	}
	if u.Heap > before.Heap+slack {
		errs = append(errs, fmt.Errorf("%s: %d bytes of live heap, %d before", whose, u.Heap, before.Heap))
	}
	return errors.Join(errs...)
}
