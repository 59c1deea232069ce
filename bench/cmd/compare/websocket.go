// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"github.com/getty-net/getty/bench/internal/stats"
)

// wsContenders lists those that take part, in the order of the tables.
func (b *bench) wsContenders() []string {
	return b.wanted([]string{"ws-" + subject, "ws-gws", "ws-coder", "ws-gorilla", "ws-gobwas", "ws-nbio"})
}

// wsCells are the cells of the WebSocket part. What is too short to become shorter is left out of those with deflate:
// not all send it compressed.
func wsCells() []cell {
	var cells []cell
	for _, deflate := range []bool{false, true} {
		for _, depth := range []int{1, 16} {
			for _, body := range []int{64, 1 << 10, 16 << 10} {
				if deflate && body == 64 {
					continue
				}
				cells = append(cells, cell{Conns: 100, Body: body, Depth: depth, WebSocket: true, Deflate: deflate})
			}
		}
	}
	return cells
}

// ws measures saturated echo over WebSocket.
func (b *bench) ws() error {
	b.section("Echo over WebSocket, saturated", `Closed loop, binary messages, each in one frame. The client's frames
are made and masked once, 16 of them leave in one write; answers are checked like those over TCP. With deflate
(permessage-deflate, no context takeover on either side) all messages are the same text, compressed in advance, and of
the answers only the headers are looked at, but the first of each connection is expanded and compared.`)
	return b.cells("ws", b.pick(wsCells()), b.wsContenders(), func(c cell, samples map[string][]sample) {
		goal := stats.Margin
		if c.Depth > 1 && !c.Deflate {
			goal = 1.0 / 8
		}
		b.best("ws-"+subject, b.wsContenders(), samples, goal)
	})
}

// cells measures all cells of a part, and prints what note adds behind each.
func (b *bench) cells(part string, cells []cell, contenders []string, note func(cell, map[string][]sample)) error {
	for _, c := range cells {
		samples, err := b.interleave(part, c, contenders, b.rounds)
		if err != nil { // the other cells are still worth measuring
			b.print("### %s\n\nFailed: %v\n\n", c, err)
			b.failed = append(b.failed, err)
			continue
		}
		b.table(c, contenders, samples, contenders[0])
		note(c, samples)
	}
	return nil
}

// best compares the subject with the cheapest of the other libraries, and says whether the ratio that is the goal
// is reached.
func (b *bench) best(subject string, contenders []string, samples map[string][]sample, goal float64) {
	others := slices.DeleteFunc(slices.Clone(contenders), func(name string) bool { return name == subject || bare(name) == "c" })
	if len(others) == 0 || len(samples[subject]) == 0 {
		return
	}
	best := slices.MinFunc(others, func(a, c string) int {
		if median(samples[a], sample.perMessage) < median(samples[c], sample.perMessage) {
			return -1
		}
		return 1
	})
	b.goal(subject, best, samples, goal)
}

// goal prints the ratio to one contender and whether it is as low as it should be.
func (b *bench) goal(subject, other string, samples map[string][]sample, goal float64) {
	cmp := stats.Compare(column(samples[subject], sample.perMessage), column(samples[other], sample.perMessage))
	verdict := "reached"
	switch {
	case cmp.Low > goal:
		verdict = "missed"
	case cmp.Median > goal:
		verdict = "open: the goal lies within the interval"
	}
	b.print("%s / %s: %.3f [%.3f, %.3f], the goal is %.3f at most: %s.\n\n", subject, other, cmp.Median, cmp.Low, cmp.High, goal, verdict)
}

// wsIdle measures the memory of idle sessions of WebSocket, plain and over TLS.
func (b *bench) wsIdle() error {
	b.section("Memory of idle WebSocket sessions", fmt.Sprintf(`%d sessions, each after one echoed message of 64 B,
measured like the memory of idle sessions over TCP: VmRSS less that before the first connection, both after two
collections and debug.FreeOSMemory. nbio has a TLS of its own and is left out of wss.`, b.idleConns))
	return b.idleTable("ws-idle", append(slices.Clone(b.wsContenders()),
		"wss-"+subject, "wss-gws", "wss-coder", "wss-gorilla", "wss-gobwas"))
}
