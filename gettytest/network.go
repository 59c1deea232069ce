// SPDX-License-Identifier: Apache-2.0

package gettytest

import (
	"context"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Network is a network in memory: listeners, and conns to them, which share
// its faults and its fate. Its methods may be called concurrently.
type Network struct {
	mu        sync.Mutex // before the mu of any wire
	cond      sync.Cond
	faults    Faults // complete
	held      Direction
	listeners map[Addr]*listener
	wires     map[*wire]struct{}
	dials     uint64 // so far; numbers the conns
	names     uint64 // given to listeners without one
}

// Direction is where a partition is. The directions can be combined with |.
type Direction uint8

// The directions. Client is who dialed.
const (
	ClientToServer Direction = 1 << iota
	ServerToClient
	BothWays = ClientToServer | ServerToClient
)

// NewNetwork makes a network whose conns have the given faults.
func NewNetwork(f Faults) *Network {
	n := &Network{
		faults:    f.complete(),
		listeners: make(map[Addr]*listener),
		wires:     make(map[*wire]struct{}),
	}
	n.cond.L = &n.mu
	return n
}

// SetFaults changes the faults of the conns that are dialed from now on.
func (n *Network) SetFaults(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f.complete()
}

// Dial connects to a listener of the network. It fits getty.ClientConfig.Dial
// and net/http.Transport.DialContext; the conn is a *Conn. It takes one round
// trip, and while there is a partition until that heals, or ctx ends. Nobody
// listening is ECONNREFUSED. Which network is asked for does not matter.
//
// The conns of a Network come from one IP address of documentation, 192.0.2.1,
// so that limits per address count them.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	defer context.AfterFunc(ctx, n.wake)()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials++
	id, f := n.dials, n.faults
	local, remote := clientAddr(id), Addr(address)
	fail := func(err error) error {
		return &net.OpError{Op: "dial", Net: network, Source: local, Addr: remote, Err: err}
	}
	if err := n.roundTrip(ctx, f, id); err != nil {
		return nil, fail(err)
	}
	l := n.listeners[remote]
	if l == nil {
		return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	w := newWire(f, id, local, remote)
	w.gone = func() { n.forget(w) }
	n.wires[w] = struct{}{}
	l.queue = append(l.queue, w.server)
	n.cond.Broadcast()
	return w.client, nil
}

// roundTrip waits like the handshake of a new conn. It is called with mu held.
func (n *Network) roundTrip(ctx context.Context, f Faults, id uint64) error {
	dice := f.dice(id, diceDial)
	trip := f.delay(dice) + f.delay(dice)
	done := time.Now().Add(trip)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n.held != 0 {
			for n.held != 0 && ctx.Err() == nil {
				n.cond.Wait()
			}
			done = time.Now().Add(trip) // what was lost is sent again
			continue
		}
		if !done.After(time.Now()) {
			return nil
		}
		waitUntil(&n.cond, n.wake, done)
	}
}

func (n *Network) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cond.Broadcast()
}

// Partition cuts the given directions of all conns, in addition to those that
// are cut already: what has not arrived, and what is written from now on, the
// end of a stream too, is held and arrives one latency after Heal. Nobody is
// told, except by its own patience. Dials wait.
func (n *Network) Partition(d Direction) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held |= d & BothWays
	now := time.Now()
	for w := range n.wires {
		w.mu.Lock()
		if d&ClientToServer != 0 {
			w.client.out.hold(now)
		}
		if d&ServerToClient != 0 {
			w.server.out.hold(now)
		}
		w.mu.Unlock()
	}
}

// Heal ends all partitions.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held = 0
	n.cond.Broadcast()
	now := time.Now()
	for w := range n.wires {
		w.mu.Lock()
		w.client.out.heal(now)
		w.server.out.heal(now)
		w.cond.Broadcast()
		w.mu.Unlock()
	}
}

// Reset breaks every open conn at once, like Conn.Reset. Listeners stay.
func (n *Network) Reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for w := range n.wires {
		w.client.Reset()
	}
}

// Conns returns how many conns are open: those of which not both ends have been
// closed, also ones that were reset or never accepted. Tests that end with 0
// have leaked none.
func (n *Network) Conns() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	open := 0
	for w := range n.wires { // a closed one may not have been forgotten yet
		if !w.closed() {
			open++
		}
	}
	return open
}

func (n *Network) forget(w *wire) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wires, w)
}

func serverAddr(n uint64) Addr { return Addr("mem:" + strconv.FormatUint(n, 10)) }

// clientAddr has a port within the range of ports.
func clientAddr(n uint64) Addr { return Addr("192.0.2.1:" + strconv.FormatUint((n-1)%65535+1, 10)) }
