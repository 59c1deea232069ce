// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"github.com/getty-net/getty/bench/internal/stats"
)

// subject is the contender that the others are compared with.
const subject = "getty"

// tcpContenders lists those that take part, in the order of the tables.
func (b *bench) tcpContenders() []string {
	return b.wanted([]string{subject, "c", "net", "gnet", "nbio", "netpoll", "dubbogetty"})
}

// wanted leaves of names what the flags ask for.
func (b *bench) wanted(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return !b.want(name) })
}

// tcp measures saturated echo.
func (b *bench) tcp() error {
	b.section("Echo over TCP, saturated", `Closed loop: each connection keeps so many messages in flight.`)
	for _, c := range b.pick(saturatedCells()) {
		samples, err := b.interleave("tcp", c, b.tcpContenders(), b.rounds)
		if err != nil { // the other cells are still worth measuring
			b.print("### %s\n\nFailed: %v\n\n", c, err)
			continue
		}
		b.table(c, b.tcpContenders(), samples, subject)
	}
	return nil
}

// rate measures what a message costs when the server has time: the load is the same for all contenders.
func (b *bench) rate() error {
	b.section("Echo over TCP at a fixed rate", fmt.Sprintf(
		`Open loop, evenly spaced over all connections, at %.0f %% of what plain net does saturated in that cell.`, b.share*100))
	for _, c := range b.pick([]cell{{Conns: 100, Body: 64, Depth: 1}, {Conns: 1000, Body: 64, Depth: 1}}) {
		saturated, err := b.interleave("rate: calibration", c, []string{"net"}, 5)
		if err != nil {
			return err
		}
		c.Rate = median(saturated["net"], sample.rate) * b.share
		samples, err := b.interleave("rate", c, b.tcpContenders(), b.rounds)
		if err != nil {
			return err
		}
		b.table(c, b.tcpContenders(), samples, subject)
	}
	return nil
}

// quiet measures how soon those are answered who have little to ask a server that is saturated by others.
func (b *bench) quiet() error {
	b.section("Quiet connections beside a saturated server", `Closed loop as above. Besides, ten connections send a
message each 5 ms, one at a time: p50 and p99 are the times to their answers.`)
	return b.cells("quiet", b.pick([]cell{
		{Conns: 100, Body: 64, Depth: 1, Quiet: 10},
		{Conns: 100, Body: 64, Depth: 16, Quiet: 10},
		{Conns: 1000, Body: 64, Depth: 1, Quiet: 10},
		{Conns: 1000, Body: 64, Depth: 16, Quiet: 10},
	}), b.tcpContenders(), func(cell, map[string][]sample) {})
}

// tls measures pipelined echo over TLS, where the number of writes makes the difference.
func (b *bench) tls() error {
	b.section("Echo over TLS 1.3, saturated", `The peer sends each message in a record of its own. tls-net is plain
crypto/tls, which gets one record from each Read and so writes once for each message.`)
	contenders := b.wanted([]string{"tls-getty", "tls-net"})
	for _, c := range b.pick([]cell{{Conns: 100, Body: 64, Depth: 16, TLS: true}}) {
		samples, err := b.interleave("tls", c, contenders, b.rounds)
		if err != nil {
			return err
		}
		b.table(c, contenders, samples, "tls-getty")
		b.print("| server | reads/message | writes/message |\n|---|--:|--:|\n")
		for _, name := range contenders {
			b.print("| %s | %.3f | %.3f |\n", name,
				median(samples[name], func(s sample) float64 { return float64(s.Result.Reads) / float64(s.Result.Messages) }),
				median(samples[name], func(s sample) float64 { return float64(s.Result.Writes) / float64(s.Result.Messages) }))
		}
		b.print("\n")
	}
	return nil
}

// timed reports whether the load measures how long answers take.
func (c cell) timed() bool { return c.Rate > 0 || c.Quiet > 0 }

// table prints one cell.
func (b *bench) table(c cell, contenders []string, samples map[string][]sample, subject string) {
	b.print("### %s\n\n", c)
	b.print("| server | CPU µs/message | messages/s | server busy | load busy |%s %s / it: median [interval] | verdict |\n",
		map[bool]string{true: " p50 µs | p99 µs |"}[c.timed()], subject)
	b.print("|---|--:|--:|--:|--:|%s--:|---|\n", map[bool]string{true: "--:|--:|"}[c.timed()])
	for _, name := range contenders {
		s := samples[name]
		b.print("| %s | %.3f | %.0f | %.0f %% | %.0f %% |", name, median(s, sample.perMessage), median(s, sample.rate),
			100*median(s, sample.serverUse), 100*median(s, sample.loadUse))
		if c.timed() {
			b.print(" %.0f | %.0f |", median(s, func(s sample) float64 { return s.Result.P50 }),
				median(s, func(s sample) float64 { return s.Result.P99 }))
		}
		if mine := samples[subject]; name != subject && len(mine) > 0 {
			cmp := stats.Compare(column(mine, sample.perMessage), column(s, sample.perMessage))
			verdict := cmp.Verdict()
			if bare(name) == "c" {
				verdict = "(the floor)"
			}
			b.print(" %.3f [%.3f, %.3f] | %s |\n", cmp.Median, cmp.Low, cmp.High, verdict)
		} else {
			b.print(" | |\n")
		}
	}
	b.print("\n")
}
