// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"
)

// admission decides which connections become sessions. It is guarded by the
// endpoint's mu.
type admission struct {
	cfg     *Config
	accepts bucket
	perAddr map[netip.Addr]int // sessions; nil unless MaxSessionsPerAddr
	// networks have sessions, or had connections not long ago; nil unless the
	// guard counts them.
	networks map[netip.Prefix]*network
	sweepAt  int // networks are swept when there are so many
}

// network is what is known of the addresses with one prefix.
type network struct {
	sessions int
	accepts  bucket
}

const (
	minSweep = 1 << 10
	// maxNetworks is from how many networks on one is forgotten with its last
	// session, although it has used up some of its rate. Those that were refused
	// stay until the next sweep, which comes when there are twice as many.
	maxNetworks = 1 << 16
)

func (ad *admission) init(cfg *Config) {
	ad.cfg = cfg
	if cfg.MaxSessionsPerAddr > 0 {
		ad.perAddr = make(map[netip.Addr]int)
	}
	if cfg.Guard.MaxSessionsPerPrefix > 0 || cfg.Guard.AcceptsPerPrefix.PerSecond > 0 {
		ad.networks = make(map[netip.Prefix]*network)
		ad.sweepAt = minSweep
	}
}

// counts reports whether sessions are counted by their address.
func (ad *admission) counts() bool { return ad.perAddr != nil || ad.networks != nil }

// looks reports whether addresses matter.
func (ad *admission) looks() bool { return ad.counts() || ad.cfg.Guard.Access != nil }

// admit decides about one session more than there are, from addr if that is
// valid. It is counted unless there is an error.
func (ad *admission) admit(addr netip.Addr, sessions int, now time.Duration) error {
	n, err := ad.decide(addr, sessions, now)
	if err != nil {
		return err
	}
	if n != nil {
		n.accepts.add(ad.cfg.Guard.AcceptsPerPrefix, 1, now)
		n.sessions++
	}
	ad.accepts.add(ad.cfg.Guard.Accepts, 1, now)
	if ad.perAddr != nil && addr.IsValid() {
		ad.perAddr[addr]++
	}
	return nil
}

// decide is admit without counting. It returns the network of addr.
func (ad *admission) decide(addr netip.Addr, sessions int, now time.Duration) (*network, error) {
	cfg, g := ad.cfg, &ad.cfg.Guard
	switch {
	case addr.IsValid() && !g.Access.Allows(addr):
		return nil, ErrDenied
	case ad.full(sessions) != nil:
		return nil, ad.full(sessions)
	case ad.perAddr != nil && addr.IsValid() && ad.perAddr[addr] >= cfg.MaxSessionsPerAddr:
		return nil, fmt.Errorf("%w: MaxSessionsPerAddr is %d", ErrTooManySessions, cfg.MaxSessionsPerAddr)
	}
	n := ad.network(addr, now)
	switch {
	case n != nil && g.MaxSessionsPerPrefix > 0 && n.sessions >= g.MaxSessionsPerPrefix:
		return nil, fmt.Errorf("%w: Guard.MaxSessionsPerPrefix is %d", ErrTooManySessions, g.MaxSessionsPerPrefix)
	case n != nil && !n.accepts.has(g.AcceptsPerPrefix, now):
		return nil, fmt.Errorf("%w: Guard.AcceptsPerPrefix is %d a second", ErrAcceptRate, g.AcceptsPerPrefix.PerSecond)
	case !ad.accepts.has(g.Accepts, now):
		return nil, fmt.Errorf("%w: Guard.Accepts is %d a second", ErrAcceptRate, g.Accepts.PerSecond)
	}
	return n, nil
}

// full says why there can be no more than so many sessions, if that is so.
func (ad *admission) full(sessions int) error {
	if limit := ad.cfg.MaxSessions; limit > 0 && sessions >= limit {
		return fmt.Errorf("%w: MaxSessions is %d", ErrTooManySessions, limit)
	}
	return nil
}

// leave is the end of a session that was counted by its address.
func (ad *admission) leave(addr netip.Addr, now time.Duration) {
	if ad.perAddr != nil {
		if ad.perAddr[addr]--; ad.perAddr[addr] == 0 {
			delete(ad.perAddr, addr)
		}
	}
	if n := ad.network(addr, now); n != nil {
		if n.sessions--; n.sessions == 0 && len(ad.networks) > maxNetworks {
			delete(ad.networks, ad.prefix(addr))
		}
	}
}

// network is that of addr; nil if it does not matter.
func (ad *admission) network(addr netip.Addr, now time.Duration) *network {
	if ad.networks == nil || !addr.IsValid() {
		return nil
	}
	p := ad.prefix(addr)
	n := ad.networks[p]
	if n == nil {
		ad.sweep(now)
		n = new(network)
		ad.networks[p] = n
	}
	return n
}

func (ad *admission) prefix(addr netip.Addr) netip.Prefix {
	bits := cmp.Or(ad.cfg.Guard.IPv6Prefix, DefaultIPv6Prefix)
	if addr.Is4() {
		bits = cmp.Or(ad.cfg.Guard.IPv4Prefix, DefaultIPv4Prefix)
	}
	p, _ := addr.Prefix(bits) // the range was checked
	return p
}

// sweep forgets networks of which nothing is left to know, now and then.
func (ad *admission) sweep(now time.Duration) {
	if len(ad.networks) < ad.sweepAt {
		return
	}
	for p, n := range ad.networks {
		if n.sessions == 0 && n.accepts.paid <= now {
			delete(ad.networks, p)
		}
	}
	ad.sweepAt = max(2*len(ad.networks), minSweep)
}
