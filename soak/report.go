// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// sample is what was seen in one second.
type sample struct {
	at             time.Duration
	live, size     int
	acked          int64
	p50, p99       time.Duration
	client, server usage
	faults         int
	restarts       int
}

// watchSeconds takes a sample each second until stop is closed. Where the
// machine does not get to it there is none; course tells of that.
func (c *campaign) watchSeconds(stop <-chan struct{}) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-second.C:
			if err := c.sample(); err != nil {
				return err
			}
		case <-stop:
			return nil
		}
	}
}

func (c *campaign) sample() error {
	s := sample{at: time.Since(c.began), client: measure(false), faults: c.faults()}
	a, err := c.srv.do(order{Do: "measure"})
	if err != nil {
		return err
	}
	s.server = a.Usage
	s.acked, s.p50, s.p99 = c.rtt.take()
	for _, l := range c.loads {
		s.live += l.client.State().Live
		s.size += l.size
	}
	c.mu.Lock()
	s.restarts = c.restarts
	c.mu.Unlock()
	c.samples = append(c.samples, s)
	if len(c.samples)%10 == 1 {
		c.printf("%5.0f s  %d/%d sessions  %d acknowledged/s  p99 %v  resident %d+%d MiB  %d faults  %d restarts\n",
			s.at.Seconds(), s.live, s.size, s.acked, s.p99, s.client.Resident>>20, s.server.Resident>>20, s.faults, s.restarts)
	}
	return nil
}

func (c *campaign) printf(format string, args ...any) { _, _ = fmt.Fprintf(c.out, format, args...) }

// sums prints what became of the messages.
func (c *campaign) sums() {
	c.printf("\n%-6s %9s %12s %8s %8s %8s %6s %8s %4s %9s\n",
		"", "sent", "acknowledged", "refused", "lost", "expired", "late", "missing", "odd", "sessions")
	for _, l := range c.loads {
		b := &l.books
		c.printf("%-6s %9d %12d %8d %8d %8d %6d %8d %4d %9d\n", l.name, b.sent.Load(), b.acked.Load(), b.refused.Load(),
			b.lost.Load(), b.expired.Load(), b.late.Load(), b.missing(), b.odd.Load(), l.closes.Load())
	}
	c.printf("\nfaults:")
	for _, name := range slices.Sorted(maps.Keys(c.counts)) {
		c.printf("  %d %s", c.counts[name], name)
	}
	c.printf("; %d restarts\n\n", c.restarts)
}

// course prints how the run went, and says what was not as it is claimed to be.
func (c *campaign) course() error {
	apart, last := time.Duration(0), time.Duration(0)
	for _, s := range c.samples {
		apart, last = max(apart, s.at-last), s.at
	}
	c.printf("samples: %d in %v, %v apart at most\n",
		len(c.samples), c.wrecked.Round(time.Second), max(apart, c.wrecked-last).Round(100*time.Millisecond))
	rate, err := c.faultRate()
	c.printf("faults: %.2f %% of the sessions a second; %d while the server drained\n", rate, c.inDrain)
	var retired int64
	sessions := 0
	for _, l := range c.loads {
		retired += l.books.retired.Load()
		sessions += l.size
	}
	c.printf("restarts: %d sessions heard a farewell; all were back at most %v after the server was",
		retired, c.recovery.longest.Round(time.Millisecond))
	if n := c.recovery.never; n > 0 {
		c.printf(", but %d times not before the next restart", n)
	}
	c.printf("\n\n")
	switch {
	case c.restarts == 0:
	case retired == 0:
		err = errors.Join(err, errors.New("no session heard a farewell"))
	case c.inDrain == 0 && sessions > 2*faultShare: // in the second that it takes at least there are two
		err = errors.Join(err, errors.New("no fault happened while the server drained"))
	}
	return err
}

// report prints what is held before and after.
func (c *campaign) report(before, after pair) {
	line := func(whose string, b, a usage) {
		c.printf("%-8s goroutines %d -> %d, descriptors %d -> %d, live heap %d -> %d KiB\n", whose,
			b.Goroutines, a.Goroutines, b.Descriptors, a.Descriptors, b.Heap>>10, a.Heap>>10)
	}
	line("clients", before.client, after.client)
	line("server", before.server, after.server)
}

func writeCSV(path string, samples []sample) error {
	var b bytes.Buffer
	b.WriteString("seconds,sessions,acknowledged,p50_us,p99_us,faults,restarts," +
		"client_goroutines,client_descriptors,client_heap,client_resident," +
		"server_goroutines,server_descriptors,server_heap,server_resident\n")
	for _, s := range samples {
		fmt.Fprintf(&b, "%.1f,%d,%d,%d,%d,%d,%d", s.at.Seconds(), s.live, s.acked,
			s.p50.Microseconds(), s.p99.Microseconds(), s.faults, s.restarts)
		for _, u := range []usage{s.client, s.server} {
			fmt.Fprintf(&b, ",%d,%d,%d,%d", u.Goroutines, u.Descriptors, u.Heap, u.Resident)
		}
		b.WriteByte('\n')
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}
