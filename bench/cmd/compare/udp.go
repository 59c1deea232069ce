// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/getty-net/getty/bench/internal/stats"

// udpFlows is how many sockets send.
const udpFlows = 32

func udpCells() []cell {
	var cells []cell
	for _, depth := range []int{1, 16} {
		for _, body := range []int{64, 1 << 10} {
			cells = append(cells, cell{Conns: udpFlows, Body: body, Depth: depth, UDP: true})
		}
	}
	return cells
}

// udp measures saturated echo over UDP.
func (b *bench) udp() error {
	b.section("Echo over UDP, saturated", `Closed loop: each flow has a connected socket of its own and so many packets
in flight, which leave in one sendmmsg. A packet that is not echoed within 50 ms counts as lost and is replaced. getty
has a session for each flow, the others answer packets.`)
	names := b.wanted([]string{"udp-" + subject, "udp-c", "udp-net", "udp-gnet", "udp-nbio"})
	return b.cells("udp", b.pick(udpCells()), names, func(c cell, samples map[string][]sample) {
		b.best("udp-"+subject, names, samples, stats.Margin)
		if c.Depth > 1 && len(samples["udp-"+subject]) > 0 && len(samples["udp-c"]) > 0 {
			b.goal("udp-"+subject, "udp-c", samples, 1.15)
		}
		b.losses(names, samples)
	})
}

// losses prints how many packets were lost, of a million.
func (b *bench) losses(names []string, samples map[string][]sample) {
	b.print("Lost packets of a million:")
	for i, name := range names {
		var lost, all uint64
		for _, s := range samples[name] {
			lost, all = lost+s.Result.Lost, all+s.Result.Messages+s.Result.Lost
		}
		b.print("%s %s %.0f", map[bool]string{true: ","}[i > 0], name, float64(lost)/float64(max(all, 1))*1e6)
	}
	b.print(".\n\n")
}
