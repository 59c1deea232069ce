// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"
)

const (
	restartEvery = 20 * time.Second // less in a short run
	downTime     = 500 * time.Millisecond
	connectIn    = time.Minute

	// At the end goroutines and descriptors are those of the start, and of live
	// heap there is no more but for this, whatever the length of the run.
	heapSlack = 1 << 20
	// peak is how many goroutines there are at most for each session: while a
	// server is replaced an old session and its farewell, a new one and its
	// handshake.
	peak = 4
)

// campaign is one run.
type campaign struct {
	srv    *process
	out    io.Writer
	period time.Duration // see load.start
	rtt    histogram
	loads  []*load
	began  time.Time

	samples []sample      // the sampler's
	wrecked time.Duration // how long there were faults

	mu       sync.Mutex
	counts   map[string]int // of faults
	draining bool
	inDrain  int // faults
	restarts int
	recovery recovery
}

// recovery is how long it took until all sessions were back after restarts.
type recovery struct {
	longest time.Duration
	never   int // before the next restart was due
}

// soak runs the whole thing and checks its end.
func soak(ctx context.Context, out io.Writer, o options, srv *process) error {
	c := &campaign{srv: srv, out: out, period: soakPeriod, counts: make(map[string]int)}
	before, err := c.warm(ctx, o.sessions)
	if err != nil {
		return err
	}
	if err := c.connect(ctx, o.sessions); err != nil {
		return err
	}
	dropped, err := droppedPackets()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	err = errors.Join(c.watch(ctx, min(restartEvery, o.duration/3)), c.settle(dropped, true))
	if o.out != "" {
		err = errors.Join(err, writeCSV(filepath.Join(o.out, "soak.csv"), c.samples),
			writeSVG(filepath.Join(o.out, "soak.svg"), c.samples))
	}
	c.loads, c.samples = nil, nil // they are no leak
	after, rerr := c.rest(&before)
	c.report(before, after)
	return errors.Join(err, rerr)
}

// warm goes through all of it once: what the runtime and the libraries make once
// and keep is no leak.
func (c *campaign) warm(ctx context.Context, sessions int) (before pair, err error) {
	dropped, err := droppedPackets()
	if err == nil {
		err = c.connect(ctx, sessions)
	}
	if err == nil {
		err = errors.Join(c.restart(true), c.full(ctx))
	}
	err = errors.Join(err, c.settle(dropped, false))
	c.loads, c.restarts = nil, 0
	if err == nil {
		_, err = c.srv.do(order{Do: "prime", Count: peak * sessions})
	}
	if err != nil {
		return before, err
	}
	prime(peak * sessions)
	return c.rest(nil)
}

// connect starts the server and the pools, and waits until they are full.
func (c *campaign) connect(ctx context.Context, sessions int) error {
	if err := c.srv.listen(); err != nil {
		return err
	}
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
	}
	if err := c.full(ctx); err != nil {
		return err
	}
	c.calm(true)
	return nil
}

// full waits until all sessions are there.
func (c *campaign) full(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectIn)
	defer cancel()
	for _, l := range c.loads {
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

// settle ends the clients and the server and checks their books, and tells of
// them. dropped is how many packets the kernel had dropped before.
func (c *campaign) settle(dropped int, tell bool) error {
	for _, l := range c.loads {
		l.hurried = !tell
	}
	err := errors.Join(c.disconnect(), c.srv.end("shutdown"))
	a, lerr := c.srv.do(order{Do: "ledger"})
	now, derr := droppedPackets()
	err = errors.Join(err, lerr, derr)
	var expired split
	for _, l := range c.loads {
		err = errors.Join(err, l.books.check(l.name))
		if l.books.udp && a.Ledger != nil {
			var uerr error
			expired, uerr = l.books.fates.compare(a.Ledger, l.ids.Load(), now-dropped)
			err = errors.Join(err, uerr)
		}
	}
	if !tell {
		return err
	}
	c.sums()
	c.printf("udp, %v\n", expired)
	return errors.Join(err, c.course())
}

// watch takes samples and lets faults and restarts happen until ctx ends, and
// then waits until all is well again.
func (c *campaign) watch(ctx context.Context, restartPeriod time.Duration) error {
	c.rtt.take() // connecting is no part of it
	c.began = time.Now()
	stop := make(chan struct{})
	var sampled error
	var others sync.WaitGroup
	others.Go(func() { sampled = c.watchSeconds(stop) })
	others.Go(func() { c.wreck(stop) })
	err := c.restartAll(ctx, restartPeriod)
	if err == nil {
		err = c.full(context.Background())
	}
	close(stop)
	others.Wait()
	return errors.Join(err, sampled)
}

// rest measures both processes when nothing runs. With a usage of before it
// waits until they are back there, as long as timers of sessions may take, and
// says what is not.
func (c *campaign) rest(before *pair) (p pair, err error) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	deadline := time.Now().Add(endPatience)
	for n := 1; ; n++ {
		a, err := c.srv.do(order{Do: "measure", GC: true})
		if err != nil {
			return p, err
		}
		p = pair{client: measure(true), server: a.Usage}
		if before != nil {
			err = errors.Join(p.client.check("clients", before.client, heapSlack), p.server.check("server", before.server, heapSlack))
		}
		if before == nil && n == restSamples || before != nil && (err == nil || time.Now().After(deadline)) {
			return p, err
		}
		<-t.C
	}
}

const restSamples = 5 // goroutines end a moment after what waits for them

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
