// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"slices"
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
	layer  string
	seed   uint64
	rng    *rand.Rand
	unit   time.Duration // of all limits of time
	slop   time.Duration // what the machine may need besides
	pool   int
	quiet  bool // without a keepalive
	adjust func(*getty.Config)
	road   road

	srv      *getty.Server[[]byte]
	cl       *getty.Client[[]byte]
	server   *party
	client   *party
	from, to *party // the side of the cell, and the other one
}

const maxMessage = 64 << 10

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
	if c.is(callFaults) || c.is(codecFaults) {
		b.pool = 2
	}
	t.Cleanup(b.replay)
	return b
}

// start makes both sides. The client is not connected yet.
func (b *bed) start() {
	b.Helper()
	var err error
	b.tune()
	b.srv, err = getty.NewServer[[]byte](liar{p: b.server}, b.server, b.config(serverTLS()))
	b.must(err)
	b.srv.Configure = b.server.configure
	url, dial := b.road.connect(b)
	b.cl, err = getty.NewClient[[]byte](url, liar{p: b.client}, b.client, b.clientConfig(clientTLS(), dial))
	b.must(err)
	b.cl.Configure = b.client.configure
}

// tune sets limits that only one side of a cell has. The side whose callback
// blocks for longer than all of its own limits has a peer that does not mind, and
// who is idle between the parts of a message has one that sends nothing else.
func (b *bed) tune() {
	switch {
	case b.fault == blocks:
		b.from.tune = func(setup *getty.Setup[[]byte]) { setup.IdleTimeout = 3 * b.unit }
		b.to.tune = func(setup *getty.Setup[[]byte]) { setup.Keepalive = getty.Keepalive{} }
	case b.fault == oneByte && b.moment == midFrame && b.layer == inVirtual:
		b.quiet = true // its messages are progress, too
		b.to.tune = func(setup *getty.Setup[[]byte]) { setup.IdleTimeout = 3 * b.unit / 2 }
	case b.is(slowFaults) && b.transport == udp:
		b.quiet = true // it is lost like the rest
	}
}

// config has limits that are multiples of the unit. The one of the keepalive is
// reached within 3 units.
func (b *bed) config(cfg *tls.Config) getty.Config {
	c := getty.Config{
		MaxMessageSize: maxMessage, HighWatermark: 64 << 10,
		Keepalive:    getty.Keepalive{Interval: b.unit, Misses: 2},
		WriteTimeout: 5 * b.unit / 2, HandshakeTimeout: b.handshake(), MessageTimeout: 2 * b.unit,
		CloseTimeout: b.unit / 2, TLS: cfg, Control: smallBuffers, UDP: getty.UDP{QueueSize: 16 << 10},
	}
	switch { // a busy machine must not add limits to faults that have nothing to do with them
	case b.is(slowFaults):
		c.MessageTimeout, c.CloseTimeout, c.WriteTimeout, c.HandshakeTimeout = patience, patience/2, patience, patience
		c.HighWatermark = 16 << 10
	case b.fault == blocks:
		c.WriteTimeout, c.HandshakeTimeout = patience, patience
	case b.is(callFaults):
		c.WriteTimeout, c.HandshakeTimeout = 5*b.unit, patience
	case b.is(codecFaults):
		c.MessageTimeout, c.HandshakeTimeout = b.unit, patience
	}
	if b.quiet {
		c.Keepalive = getty.Keepalive{}
	} else if !b.webSocket() {
		c.Keepalive.Frame = probeFrame()
	}
	if b.adjust != nil {
		b.adjust(&c)
	}
	return c
}

func (b *bed) clientConfig(cfg *tls.Config, dial dialFunc) getty.ClientConfig {
	c := b.config(cfg)
	c.UserTimeout = 0 // the road makes the sockets
	return getty.ClientConfig{
		Config: c, PoolSize: b.pool, Dial: dial, DialTimeout: c.HandshakeTimeout,
		Backoff: getty.Backoff{Min: b.unit / 50, Max: b.unit / 10}, StablePeriod: b.unit / 20,
	}
}

// handshake is the limit of one. Where none may fail a busy machine may be slow.
func (b *bed) handshake() time.Duration {
	if b.fault == clockJump || b.is(slowFaults) {
		return patience
	}
	return 3 * b.unit / 2
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

// others are the sessions of from beside one, as soon as the pool is full.
func (b *bed) others(but *session) (ss []*session) {
	b.Helper()
	b.until("the other sessions of "+b.from.name, patience, func() bool {
		ss = slices.DeleteFunc(b.from.sessions(), func(s *session) bool { return s == but })
		return len(ss) >= b.pool-1 // more, if it has been replaced already
	})
	return ss
}

// pass has messages go both ways on sessions of from, and be acknowledged.
func (b *bed) pass(ss ...*session) {
	b.Helper()
	for _, s := range ss {
		b.answered(b.to, b.answered(b.from, s))
	}
}

// answered sends on a session until a message is acknowledged, and returns the
// session of the other side that got it. On a stream the first one is.
func (b *bed) answered(p *party, s *session) *session {
	b.Helper()
	other := b.client
	if p == b.client {
		other = b.server
	}
	within := b.limit()
	if b.transport == udp {
		within = b.unit / 2
	}
	var id uint64
	b.until("the other session of "+p.name+" passes messages", b.limit()+patience, func() bool {
		id = p.send(s, 50)
		return b.eventually(within, func() bool { return p.book.is(id, acked) })
	})
	return other.book.receiver(id)
}

// fill has mine, a session of from, hold as much as it can: theirs, its peer, does
// not read until release is called.
func (b *bed) fill(mine, theirs *session) (release func()) {
	b.Helper()
	release = b.to.block(theirs)
	b.Cleanup(release)
	fillUp(b.from, mine, b.transport == udp, b.unit)
	return release
}

// fillUp sends until the session has no room, packets until there is none at the
// other side. Once more after a pause: a buffer further on may have taken some.
func fillUp(p *party, s *session, packets bool, unit time.Duration) {
	if packets {
		for range 100 {
			if errors.Is(p.trySend(s, 1000), getty.ErrBackpressure) {
				eventually(unit/50, unit/200, func() bool { return s.Stats().Pending == 0 })
			}
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
