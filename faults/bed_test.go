// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// road is what lies between the two sides of a bed.
type road interface {
	// connect has the server listen and returns what the client dials; a nil
	// hook: as it is.
	connect(b *bed) (url string, dial dialFunc)
	// trip calls f once, when n more bytes from a side have passed on one conn.
	// What follows them waits until f has returned. With 0 a new conn is enough.
	trip(side string, n int, f func())
	// do has a fault happen to what a side sends, on all conns.
	do(fault, side string)
	heal()
	// close comes after the end of both sides.
	close()
}

// bed is a server and a client with a road between them, and one cell to try.
type bed struct {
	testing.TB
	cell
	layer string
	seed  uint64
	rng   *rand.Rand
	unit  time.Duration // of all limits of time
	slop  time.Duration // what the machine may need besides
	pool  int
	quiet bool // without a keepalive
	road  road

	srv      *getty.Server[[]byte]
	cl       *getty.Client[[]byte]
	server   *party
	client   *party
	from, to *party // the side of the cell, and the other one
}

// patience bounds waits that only a failure reaches.
const patience = 30 * time.Second

// run tries a cell.
func run(t testing.TB, c cell, layer string, unit, slop time.Duration, r road) {
	seed := seedOf(t, c)
	b := newBed(t, c, layer, unit, slop, r, seed)
	defer record(t, c, layer)
	b.start()
	defer b.finish()
	switch {
	case c.is(callFaults):
		b.tryCallback()
	case c.is(codecFaults):
		b.tryCodec()
	case c.is(slowFaults):
		b.trySlow()
	default:
		b.tryWire()
	}
	b.recovers()
}

func newBed(t testing.TB, c cell, layer string, unit, slop time.Duration, r road, seed uint64) *bed {
	b := &bed{
		TB: t, cell: c, layer: layer, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), unit: unit, slop: slop, pool: 1, road: r,
		server: newParty("server"), client: newParty("client"),
	}
	for _, p := range []*party{b.server, b.client} {
		p.udp, p.book.udp = c.transport == udp, c.transport == udp
	}
	b.from, b.to = b.server, b.client
	if c.side == "client" {
		b.from, b.to = b.client, b.server
	}
	if c.is(callFaults) {
		b.pool = 2
	}
	return b
}

// start makes both sides. The client is not connected yet.
func (b *bed) start() {
	b.Helper()
	var err error
	b.srv, err = getty.NewServer[[]byte](liar{p: b.server}, b.server, b.config(serverTLS()))
	b.must(err)
	url, dial := b.road.connect(b)
	b.cl, err = getty.NewClient[[]byte](url, liar{p: b.client}, b.client, b.clientConfig(clientTLS(), dial))
	b.must(err)
}

// config has limits that are multiples of the unit. The one of the keepalive is
// reached within 3 units.
func (b *bed) config(cfg *tls.Config) getty.Config {
	c := getty.Config{
		MaxMessageSize: 64 << 10, HighWatermark: 64 << 10,
		Keepalive:    getty.Keepalive{Interval: b.unit, Misses: 2},
		WriteTimeout: 5 * b.unit / 2, HandshakeTimeout: 3 * b.unit / 2, MessageTimeout: 2 * b.unit,
		CloseTimeout: b.unit / 2, TLS: cfg, Control: smallBuffers, UDP: getty.UDP{QueueSize: 16 << 10},
	}
	if b.is(slowFaults) {
		c.MessageTimeout, c.CloseTimeout, c.WriteTimeout = patience, patience/2, patience
		c.HighWatermark = 16 << 10
	}
	if b.quiet {
		c.Keepalive = getty.Keepalive{}
	} else if !b.webSocket() {
		c.Keepalive.Frame = probeFrame()
	}
	return c
}

func (b *bed) clientConfig(cfg *tls.Config, dial dialFunc) getty.ClientConfig {
	return getty.ClientConfig{
		Config: b.config(cfg), PoolSize: b.pool, Dial: dial, DialTimeout: 3 * b.unit / 2,
		Backoff: getty.Backoff{Min: b.unit / 50, Max: b.unit / 10}, StablePeriod: b.unit / 20,
	}
}

// limit is when a silent peer must have been found.
func (b *bed) limit() time.Duration { return 3*b.unit + b.slop }

func (b *bed) must(err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// until waits for a condition.
func (b *bed) until(what string, within time.Duration, cond func() bool) {
	b.Helper()
	if !b.eventually(within, cond) {
		b.Fatalf("not within %v: %s\nserver: %s\nclient: %s", within, what, b.server, b.client)
	}
}

func (b *bed) eventually(within time.Duration, cond func() bool) bool {
	return eventually(within, b.unit/200, cond)
}

// eventually looks at a condition in every period.
func eventually(within, period time.Duration, cond func() bool) bool {
	deadline := time.Now().Add(within)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			return false
		}
		<-tick.C
	}
	return true
}

// open connects and has every session carry messages both ways.
func (b *bed) open() {
	b.Helper()
	b.connect()
	b.exchange()
}

func (b *bed) connect() {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.cl.Connect(ctx); err != nil {
		b.Fatalf("connect: %v", err)
	}
}

// exchange sends messages on all sessions, the client's first: a UDP server has
// none before it gets one.
func (b *bed) exchange() {
	b.Helper()
	for _, s := range b.client.sessions() {
		b.client.send(s, 40)
	}
	b.settled(b.client)
	for _, s := range b.server.sessions() {
		b.server.send(s, 40)
	}
	b.settled(b.server)
}

// settled waits until nothing that p has sent is in flight.
func (b *bed) settled(ps ...*party) {
	b.Helper()
	for _, p := range ps {
		b.until("every message settled by "+p.name, b.limit()+patience, func() bool { return p.book.count(open, accepted) == 0 })
	}
}

// pair returns a session of from, and the same one at the other side.
func (b *bed) pair() (mine, theirs *session) {
	b.Helper()
	b.until("a session of "+b.from.name, patience, func() bool { return len(b.from.sessions()) > 0 })
	mine = b.from.sessions()[0]
	id := b.from.send(mine, 50)
	b.settled(b.from)
	b.to.book.mu.Lock()
	defer b.to.book.mu.Unlock()
	if theirs = b.to.book.by[id]; theirs == nil {
		b.Fatalf("a message did not arrive before there was a fault\nserver: %s\nclient: %s", b.server, b.client)
	}
	return mine, theirs
}

// fill has s, a session of from, hold as much as it can: its peer does not read
// until release is called.
func (b *bed) fill(s *session) (release func()) {
	b.Helper()
	release = b.to.block()
	b.Cleanup(release)
	fillUp(b.from, s, b.transport == udp, b.unit)
	return release
}

// fillUp sends until the session has no room. Once more after a pause: a buffer
// further on may have taken some.
func fillUp(p *party, s *session, packets bool, unit time.Duration) {
	if packets {
		for range 100 {
			_ = p.trySend(s, 1000)
		}
		return
	}
	for quiet := 0; quiet < 3 && s.Context().Err() == nil; {
		if errors.Is(p.trySend(s, 8<<10), getty.ErrBackpressure) {
			quiet++
			eventually(unit/50, unit/200, func() bool { return s.Stats().Pending == 0 })
		} else {
			quiet = 0
		}
	}
}
