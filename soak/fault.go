// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/getty-net/getty"
)

const (
	faultShare  = 100 // one of so many sessions has a fault each second
	leastFaults = 0.9 // of those that are due
	faultTick   = 100 * time.Millisecond
	forgetEvery = 30 * time.Second
)

// faults are what happens to sessions. Those on the conn are done behind the
// session's back; on udp, where there is no conn to break, garbage is a packet.
// What reports false could not be done to this session.
var faults = []struct {
	name string
	do   func(l *load, s *getty.Session[[]byte]) bool
}{
	{"reset", func(l *load, s *getty.Session[[]byte]) bool {
		nc := l.below(s)
		if tc, ok := nc.(*net.TCPConn); ok {
			_ = tc.SetLinger(0)
		}
		return nc != nil && nc.Close() == nil
	}},
	{"half-close", func(l *load, s *getty.Session[[]byte]) bool {
		hc, ok := l.below(s).(interface{ CloseWrite() error })
		return ok && hc.CloseWrite() == nil
	}},
	{"garbage", func(l *load, s *getty.Session[[]byte]) bool {
		nc := l.below(s)
		if nc == nil {
			return false
		}
		_, err := nc.Write(garbage())
		return err == nil
	}},
	{"stalled reader", func(l *load, s *getty.Session[[]byte]) bool { return l.send(s, stall) == nil }},
	{"panic there", func(l *load, s *getty.Session[[]byte]) bool { return l.send(s, panics) == nil }},
	{"panic here", func(l *load, s *getty.Session[[]byte]) bool {
		return !pageOf(s).panicNext.Swap(true) && l.send(s, acknowledge) == nil
	}},
	{"error there", func(l *load, s *getty.Session[[]byte]) bool { return l.send(s, closes) == nil }},
	{"close", func(_ *load, s *getty.Session[[]byte]) bool { return s.Close() == nil }},
}

// garbage begins with a byte that no transport can take for a beginning.
func garbage() []byte {
	b := make([]byte, 1+rand.N(300)) //nolint:gosec // dice, and no secret
	for i := range b {
		b[i] = byte(rand.Uint32()) //nolint:gosec // any byte
	}
	b[0] = 0xff
	return b
}

// below is the conn that a session stands on, or nil if that is not known.
func (l *load) below(s *getty.Session[[]byte]) net.Conn {
	switch nc := s.NetConn().(type) {
	case *net.TCPConn, *net.UnixConn, *net.UDPConn:
		return nc
	}
	if nc, ok := l.conns.Load(s.LocalAddr().String()); ok {
		return nc.(net.Conn)
	}
	return nil
}

// forget drops the conns that no session stands on.
func (l *load) forget() {
	known := make(map[string]bool)
	for s := range l.client.Sessions() {
		known[s.LocalAddr().String()] = true
	}
	l.conns.Range(func(addr, _ any) bool {
		if !known[addr.(string)] {
			l.conns.Delete(addr)
		}
		return true
	})
}

// hurt lets a fault happen to each of n sessions of l, or of as many as there
// are, and tells of each.
func (l *load) hurt(n int, happened func(fault string)) {
	if n <= 0 {
		return
	}
	for s := range l.client.Sessions() {
		if f := l.harm(s); f != "" {
			happened(f)
			n--
		}
		if n == 0 {
			return
		}
	}
}

// harm lets a fault happen to a session: any of those that can. It returns
// which, or "" if the session has ended meanwhile.
func (l *load) harm(s *getty.Session[[]byte]) string {
	pageOf(s).fault()
	for _, i := range rand.Perm(len(faults)) { //nolint:gosec // dice, and no secret
		if f := faults[i]; !s.Closed() && f.do(l, s) {
			return f.name
		}
	}
	return ""
}

// faultsDue is how many faults the i-th load is owed after a while. The loads
// take turns.
func faultsDue(passed time.Duration, size, i int) int {
	return int(passed.Seconds()*float64(size)/faultShare + float64(i)/float64(len(transports)))
}

// wreck lets faults happen until stop is closed, whatever else goes on. What is
// owed while there are no sessions is made up for.
func (c *campaign) wreck(stop <-chan struct{}) {
	t := time.NewTicker(faultTick)
	defer t.Stop()
	done := make([]int, len(c.loads))
	forget := c.began.Add(forgetEvery)
	for running := true; running; {
		select {
		case <-t.C:
		case <-stop:
			running = false
		}
		passed, forgets := time.Since(c.began), time.Now().After(forget)
		for i, l := range c.loads {
			l.hurt(faultsDue(passed, l.size, i)-done[i], func(fault string) {
				done[i]++
				c.happened(fault)
			})
			if forgets {
				l.forget()
			}
		}
		if forgets {
			forget = forget.Add(forgetEvery)
		}
	}
	c.wrecked = time.Since(c.began)
}

func (c *campaign) happened(fault string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[fault]++
	if c.draining {
		c.inDrain++
	}
}

// faults are how many there were.
func (c *campaign) faults() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, count := range c.counts {
		n += count
	}
	return n
}

// faultRate is the share of the sessions that had a fault each second, in per
// cent, and an error if it is not about what it should be.
func (c *campaign) faultRate() (rate float64, err error) {
	sessions, n := 0, c.faults()
	for _, l := range c.loads {
		sessions += l.size
	}
	due := c.wrecked.Seconds() * float64(sessions) / faultShare
	if least := leastFaults*due - float64(len(c.loads)); float64(n) < least { // each load may just not be owed one
		err = fmt.Errorf("%d faults in %v are too few for %d sessions, want %.0f", n, c.wrecked.Round(time.Second), sessions, least)
	}
	return 100 / faultShare * float64(n) / due, err
}
