// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

const pagePath = "../docs/faults.md"

const pageHead = `<!-- SPDX-License-Identifier: Apache-2.0 -->
<!-- Written by the tests in faults/: go test -timeout 10m . -args -write. Do not edit. -->

# Faults

What goes wrong between two sides or inside one, on each transport, at each moment, and what held. Every cell was tried; after
them no goroutine and no descriptor is left, in a process of its own neither, under the build tag ` + "`getty_debug`" + ` no buffer, and both
sides' books are equal: each message was delivered once, or its sender was told, by an error from Send or by OnClose. On udp
nothing tells: a message whose acknowledgement does not come counts as told. A message that was refused as safe to retry was
never delivered. A process that is killed has its book in a file: what it had acknowledged it was given once, what was
acknowledged to it was delivered once, and nothing twice. Afterwards the pool recovers by itself, and messages pass both ways.
` + "`make faults`" + ` tries all of it.

*side* is where it happens: whose packets vanish, whose process is killed, whose callback or codec misbehaves. For a silent
partition, which is on both sides at once, it is the side that sends. *During close* it is that side that closes, for codecs the
other one, right behind messages.

`

const pageMiddle = `
## What covers it

Numbers are those of the paragraphs in [lifecycle.md](lifecycle.md).

`

const pageFoot = `
## Silent partitions

A peer from which nothing comes is found by ` + "`Keepalive`" + ` within Interval times Misses + 1, on both sides, also while a big write is
in flight: what is written does not count as a sign of life. Who sends into a one-way partition still gets the peer's probes, and
then the end of the conn, in front of which it flushes. Bytes that the kernel does not take end the session after
` + "`WriteTimeout`" + `, with or without a keepalive. What neither of them sees are bytes that the kernel has taken and nobody has
acknowledged, in a session without a keepalive that sends nothing more: TCP itself gives up on those after about 15 minutes. On
Linux ` + "`UserTimeout`" + `, which is ` + "`TCP_USER_TIMEOUT`" + `, ends it when it says. It is no default: the kernel counts a peer whose receive buffer
is full as one that does not acknowledge, and a callback that takes long would lose its session.

## Seeds

What is random comes from a seed that a failure prints, with the line that replays it: where a frame or a handshake is cut, which
packets of the relay are lost and how late the others come. Toxiproxy draws its jitter from a generator that cannot be seeded, so
its layer does not replay exactly, and nothing replays how the system schedules.
`

// ways has what the letters of the layers mean.
var ways = []struct{ letter, how string }{
	{inVirtual, "in virtual time over a network in memory, with `gettytest` and `testing/synctest`, on udp one of packets"},
	{inSockets, "over real sockets, through a relay of streams or packets"},
	{inToxiproxy, "over real sockets, through Shopify's toxiproxy as a library"},
	{inProcesses, "with that side in a process of its own"},
	{inClock, "with that side in a process of its own, which sets its clock in its copy of the vDSO"},
	{inSpaces, "across network namespaces, whose router has no way for the packets"},
	{inNetem, "across network namespaces, whose router delays, reorders and loses packets by netem"},
	{inIptables, "across network namespaces, whose router drops all packets by iptables, or where it is slow or lossy every fifth"},
}

// lackings are the layers that the machine that wrote the page lacked, and why.
type lackings map[string]string

const lackingText = "no: "

// lackingsOf reads them from a page.
func lackingsOf(lines []string) lackings {
	all := make(lackings)
	for _, line := range lines {
		for _, w := range ways {
			if rest, ok := strings.CutPrefix(line, "| "+w.letter+" | "+w.how+" | "+lackingText); ok {
				all[w.letter] = strings.TrimSuffix(rest, " |")
			}
		}
	}
	return all
}

// layers are those of a cell that are not lacking.
func (l lackings) layers(c cell) []string {
	return slices.DeleteFunc(c.layers(), func(layer string) bool { return l[layer] != "" })
}

func (l lackings) held(c cell) string { return "held " + strings.Join(l.layers(c), " ") }

// render makes the page. mark gives the text of a cell that applies.
func render(lacking lackings, mark func(cell) string) []byte {
	var b bytes.Buffer
	b.WriteString(pageHead)
	b.WriteString("| letter | how it was tried | could the machine that wrote this page? |\n|---|---|---|\n")
	for _, w := range ways {
		could := "yes"
		if why := lacking[w.letter]; why != "" {
			could = lackingText + why
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", w.letter, w.how, could)
	}
	b.WriteString(pageMiddle)
	b.WriteString("| fault | guarantee |\n|---|---|\n")
	for _, f := range faults {
		fmt.Fprintf(&b, "| %s | %s |\n", f.name, f.guarantee)
	}
	for _, tr := range transports {
		fmt.Fprintf(&b, "\n## %s\n\n| fault | side | %s |\n|---|---|%s\n", tr, strings.Join(moments, " | "), strings.Repeat("---|", len(moments)))
		for _, f := range faults {
			for _, side := range sides {
				fmt.Fprintf(&b, "| %s | %s |", f.name, side)
				for _, m := range moments {
					c := cell{tr, f.name, side, m}
					if why := c.missing(); why != "" {
						fmt.Fprintf(&b, " n/a: %s |", why)
					} else {
						fmt.Fprintf(&b, " %s |", mark(c))
					}
				}
				b.WriteString("\n")
			}
		}
	}
	b.WriteString(pageFoot)
	return b.Bytes()
}

// result is held, unless a layer has failed or was left out in this run.
func (l lackings) result(c cell) string {
	results.Lock()
	defer results.Unlock()
	for _, layer := range l.layers(c) {
		bad, tried := results.failed[c][layer]
		if bad {
			return "FAILED " + layer
		}
		if !tried {
			return "not tried " + layer
		}
	}
	return l.held(c)
}

// TestThePageNamesTheCells fails if docs/faults.md is of another table, or has
// a cell that did not hold.
func TestThePageNamesTheCells(t *testing.T) {
	if *write {
		t.Skip("it is written at the end")
	}
	page, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	have := strings.Split(string(page), "\n")
	lacked := lackingsOf(have)
	want := strings.Split(string(render(lacked, lacked.held)), "\n")
	if len(have) != len(want) {
		t.Fatalf("%s has %d lines, want %d: write it anew", pagePath, len(have), len(want))
	}
	for i := range want {
		if have[i] != want[i] {
			t.Errorf("%s:%d: %q, want %q", pagePath, i+1, have[i], want[i])
		}
	}
}

// TestThePageTellsWhatWasLacking: a layer that the machine lacks is in no cell,
// and the page says why.
func TestThePageTellsWhatWasLacking(t *testing.T) {
	want := lackings{inNetem: "it has none"}
	lines := strings.Split(string(render(want, want.held)), "\n")
	if have := lackingsOf(lines); !maps.Equal(have, want) {
		t.Errorf("the page says that %v is lacking, want %v", have, want)
	}
	c := cell{"tcp", latency, "client", between}
	if all, have := (lackings{}).held(c), want.held(c); all != "held v s t e i" || have != "held v s t i" {
		t.Errorf("a cell is %q, without netem %q", all, have)
	}
	if c.fault = reset; want.held(c) != (lackings{}).held(c) {
		t.Errorf("a cell that needs no netem is %q", want.held(c))
	}
}

// writePage comes after all tests.
func writePage() error {
	lacking.Lock()
	lacked := lackings(lacking.why)
	lacking.Unlock()
	page := render(lacked, lacked.result)
	counts := make(map[string]int)
	for _, c := range cells() {
		if c.missing() != "" {
			counts["n/a"]++
			continue
		}
		word, _, _ := strings.Cut(lacked.result(c), " ")
		counts[word]++
		for _, layer := range lacked.layers(c) {
			counts["runs in "+layer]++
		}
	}
	fmt.Println("cells:", counts)
	return os.WriteFile(pagePath, page, 0o644)
}
