// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/getty-net/getty/bench/internal/stats"
)

// The same programs, written once for dubbo-getty, are linked with it and with the drop-in.
const (
	original = "dubbogetty"
	dropIn   = "dropin"
)

// The goals of the drop-in, as ratios to the original and as a time.
const (
	goalSingle    = 1 / 1.7
	goalPipelined = 1.0 / 10
	goalIdle      = 1.0 / 2
	goalFill      = 100 * time.Millisecond
)

// gain measures what a user of dubbo-getty has from the replace line, in one table.
func (b *bench) gain() error {
	b.section("The drop-in for dubbo-getty", fmt.Sprintf(`One program, written for dubbo-getty and linked once with each.
Echo over TCP of 64 B on 100 connections, saturated: processor time of the server. Idle sessions: %d, after one echoed
message each. Pool: %d connections, from the start of the client's process until all stand, seen from the server.
Medians; a ratio of processor times is the median over the rounds, with its interval.`, b.idleConns, poolSize))
	names := []string{original, dropIn}
	b.print("| | dubbo-getty | drop-in | drop-in / dubbo-getty | goal |\n|---|--:|--:|--:|--:|\n")
	for _, cells := range []struct {
		depth int
		goal  float64
	}{{1, goalSingle}, {16, goalPipelined}} {
		c := cell{Conns: 100, Body: 64, Depth: cells.depth}
		samples, err := b.interleave("dropin", c, names, b.rounds)
		if err != nil {
			return err
		}
		cmp := stats.Compare(column(samples[dropIn], sample.perMessage), column(samples[original], sample.perMessage))
		b.print("| CPU µs/message, %d in flight | %.3f | %.3f | %.3f [%.3f, %.3f] | %.3f |\n", c.Depth,
			median(samples[original], sample.perMessage), median(samples[dropIn], sample.perMessage),
			cmp.Median, cmp.Low, cmp.High, cells.goal)
	}
	if err := b.gainIdle(names); err != nil {
		return err
	}
	return b.gainPool(names)
}

// gainIdle prints the row of the memory.
func (b *bench) gainIdle(names []string) error {
	bytes := map[string][]float64{}
	for round := range b.idleRounds {
		for _, name := range names {
			fmt.Fprintf(os.Stderr, "\rdropin: idle: round %d of %d: %-12s", round+1, b.idleRounds, name)
			s, err := b.idleOf(name)
			if err != nil {
				return fmt.Errorf("idle %s: %w", name, err)
			}
			s.Round = round
			bytes[name] = append(bytes[name], s.Bytes)
			b.idleRaw = append(b.idleRaw, s)
		}
	}
	fmt.Fprintln(os.Stderr)
	was, is := stats.Median(bytes[original]), stats.Median(bytes[dropIn])
	b.print("| bytes/idle session | %.0f | %.0f | %.3f | %.3f |\n", was, is, is/was, goalIdle)
	return nil
}

// gainPool prints the row of the pool. The original sleeps between its dials, so that one run says enough.
func (b *bench) gainPool(names []string) error {
	fills := map[string][]float64{}
	for i, runs := range []int{1, 5} {
		for range runs {
			fmt.Fprintf(os.Stderr, "\rdropin: pool: %-12s", names[i])
			ms, err := b.fillOf(names[i])
			if err != nil {
				return err
			}
			fills[names[i]] = append(fills[names[i]], ms)
			b.poolRaw = append(b.poolRaw, poolSample{Contender: names[i], Fill: ms})
		}
	}
	fmt.Fprintln(os.Stderr)
	b.print("| pool of %d open after | %s | %s | | %v |\n\n", poolSize, b.poolTime(fills[original]), b.poolTime(fills[dropIn]), goalFill)
	return nil
}

// fillOf returns in how many milliseconds a client has filled its pool, -1 if it has not before the timeout.
func (b *bench) fillOf(name string) (float64, error) {
	l, err := listenPool("127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.leave(true)
	began := time.Now()
	p, err := b.launch(b.loadCPU, b.bin("pool-"+name), "-impl", impl(name), "-addr", l.Addr().String(), "-size", strconv.Itoa(poolSize))
	if err != nil {
		return 0, err
	}
	defer p.kill()
	return l.full(began, b.poolTimeout), nil
}
