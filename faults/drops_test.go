// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestNetem tries cells across namespaces whose router delays packets, lets some
// overtake others and loses some, by the kernel's netem. To a stream all of that
// is latency.
func TestNetem(t *testing.T) {
	qdiscs := map[string]string{
		latency: "netem delay 15ms 15ms loss 2%",
		reorder: "netem delay 15ms reorder 50% 25% loss 20%",
	}
	all := make(map[[2]string]*spaces)
	for fault, qdisc := range qdiscs {
		for _, side := range sides {
			s := newSpaces(t, inNetem)
			s.slow(t, side, qdisc)
			all[[2]string{fault, side}] = s
		}
	}
	eachReal(t, inNetem, func(t *testing.T, c cell) {
		r := all[[2]string{c.fault, c.side}].road(t)
		run(t, c, inNetem, realUnit, realSlop, delayed{r})
	})
}

// slow has the router treat all that a side sends in a way of the program tc.
func (s *spaces) slow(t *testing.T, side, qdisc string) {
	t.Helper()
	if _, err := exec.LookPath("tc"); err != nil {
		lacks(t, inNetem, "netem needs the program tc, of iproute2")
	}
	device := map[string]string{"client": "s", "server": "c"}[side] // the one that it leaves by
	args := strings.Fields("-n " + s.name("r") + " qdisc add dev " + device + " root " + qdisc)
	switch out, err := exec.Command("tc", args...).CombinedOutput(); {
	case strings.Contains(string(out), "unknown"):
		t.Logf("tc: %s", out)
		forbids(t, inNetem, "its kernel has no netem")
	case err != nil:
		t.Fatalf("tc %v: %v %s", args, err, out)
	}
}

// delayed is a road that has its fault from the beginning.
type delayed struct{ *routed }

func (delayed) do(string, string) {}

// TestIptables tries cells across namespaces whose router drops packets by its
// packet filter: all of them, or every fifth. To a stream the latter is latency.
func TestIptables(t *testing.T) {
	s := newSpaces(t, inIptables)
	if _, err := exec.LookPath("iptables"); err != nil {
		lacks(t, inIptables, "no program iptables")
	}
	if out, err := s.iptables("-A", everyFifth("192.0.2.1", 0)); err != nil {
		t.Logf("iptables: %s", out)
		forbids(t, inIptables, "its kernel has no packet filter for iptables")
	}
	eachReal(t, inIptables, func(t *testing.T, c cell) {
		run(t, c, inIptables, realUnit, realSlop, &filtered{routed: s.road(t), cell: c, first: int(seedOf(t, c) % 5)})
	})
}

func (s *spaces) iptables(action, rule string) (string, error) {
	return s.ip(strings.Fields("netns exec " + s.name("r") + " iptables -w " + action + " FORWARD " + rule)...)
}

func everyFifth(to string, first int) string {
	return "-d " + to + " -m statistic --mode nth --every 5 --packet " + strconv.Itoa(first) + " -j DROP"
}

// filtered is a road whose faults are rules of iptables.
type filtered struct {
	*routed
	cell  cell
	first int // the packet of five that is lost
	rules []string
}

func (r *filtered) do(fault, side string) {
	rule := everyFifth(r.addr(otherThan(side)), r.first)
	if fault == silent || fault == oneWay {
		rule = "-d " + r.addr(otherThan(side)) + " -j DROP"
	}
	r.add(rule)
	if fault == silent {
		r.add("-d " + r.addr(side) + " -j DROP")
	}
}

func (r *filtered) add(rule string) {
	if out, err := r.iptables("-A", rule); err != nil {
		r.t.Errorf("iptables %s: %v %s", rule, err, out)
	}
	r.rules = append(r.rules, rule)
}

func (r *filtered) heal() {
	r.wantDrops()
	for _, rule := range r.rules {
		if out, err := r.iptables("-D", rule); err != nil {
			r.t.Errorf("iptables %s: %v %s", rule, err, out)
		}
	}
	r.rules = nil
}

// wantDrops fails if nothing was dropped where enough was sent for that.
func (r *filtered) wantDrops() {
	if len(r.rules) == 0 || r.cell.is(slowFaults) && r.cell.moment != full && r.cell.moment != closing {
		return
	}
	list, err := r.ip(strings.Fields("netns exec " + r.name("r") + " iptables -w -nvxL FORWARD")...)
	if err != nil {
		r.t.Errorf("iptables: %v %s", err, list)
	}
	to := r.addr(otherThan(r.cell.side))
	for line := range strings.Lines(list) {
		if fields := strings.Fields(line); slices.Contains(fields, to) && fields[0] != "0" {
			return
		}
	}
	r.t.Errorf("no packet to %s was dropped:\n%s", to, list)
}

func (r *filtered) close() { r.heal() }
