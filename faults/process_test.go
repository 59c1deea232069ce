// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// TestProcesses tries cells with one side in a process of its own, which is
// killed, stopped for longer than every limit, or has no descriptor left.
func TestProcesses(t *testing.T) {
	eachReal(t, inProcesses, func(t *testing.T, c cell) {
		defer record(t, c, inProcesses)
		p := newPairing(t, c, inProcesses)
		p.start()
		defer p.finish()
		p.try()
	})
}

// pairing is a bed of which one side, from, is a child.
type pairing struct {
	*bed
	relay   *relay
	packets *packets
	dir     string
	back    string // the URL of the server
	child   *process
	ahead   time.Duration // by which its monotonic clock is

	children []*process // it, and those before it
}

func newPairing(t *testing.T, c cell, layer string) *pairing {
	relay, packets := newRelay(t, c), newPackets(t, c)
	var r road = relay
	if c.transport == udp {
		r = packets
	}
	b := newBed(t, c, layer, realUnit, realSlop, r, seedOf(t, c))
	return &pairing{bed: b, relay: relay, packets: packets, dir: b.socketDir()}
}

func (p *pairing) start() {
	if p.side == "server" {
		p.child = p.fork(p.listenURL())
		p.back = p.child.last.URL
	} else {
		var err error
		p.srv, err = getty.NewServer[[]byte](liar{p: p.to}, p.to, p.config(serverTLS()))
		p.must(err)
		p.must(p.srv.Listen(p.listenURL()))
		p.back = p.srv.URLs()[0]
	}
	front := p.between()
	if p.side == "server" {
		var err error
		p.cl, err = getty.NewClient[[]byte](front, liar{p: p.to}, p.to, p.clientConfig(clientTLS(), nil))
		p.must(err)
		return
	}
	p.back = front
	p.child = p.fork(front)
}

func (p *pairing) listenURL() string {
	if p.transport == "unix" {
		return "unix://" + filepath.Join(p.dir, "server")
	}
	if p.transport == udp {
		return urlTo(p.cell, p.packets.any())
	}
	return urlTo(p.cell, "127.0.0.1:0")
}

// between starts the road to the server.
func (p *pairing) between() (front string) {
	_, addr, _ := strings.Cut(p.back, "://")
	var err error
	switch p.transport {
	case "unix":
		p.relay.back, err = net.ResolveUnixAddr("unix", addr)
	case udp:
		p.packets.back, err = net.ResolveUDPAddr("udp", addr)
	default:
		p.relay.back, err = net.ResolveTCPAddr("tcp", strings.TrimSuffix(addr, "/x"))
	}
	p.must(err)
	if p.transport == udp {
		p.packets.listen(p.bed)
		return urlTo(p.cell, p.packets.front.LocalAddr().String())
	}
	p.relay.listen(p.bed, p.dir)
	return urlTo(p.cell, p.relay.ln.Addr().String())
}

// connect has the client's side connect, whichever that is.
func (p *pairing) connect() {
	if p.side == "client" {
		p.child.tell("connect", 0) // who may not live to report
		return
	}
	go func() { _ = p.cl.Connect(p.Context()) }()
}

func (p *pairing) passes() {
	p.Helper()
	if p.side == "client" {
		p.child.do("pass", 0)
		return
	}
	before := p.to.book.count(acked)
	p.until("messages pass", patience, func() bool {
		for _, s := range p.to.sessions() {
			p.to.send(s, 40)
		}
		return p.eventually(p.unit/2, func() bool { return p.to.book.count(acked) > before })
	})
}

func (p *pairing) try() {
	fault := map[string]func(){
		killed:  func() { p.child.kill() },
		stopped: func() { p.child.signal(syscall.SIGSTOP) },
		noFiles: func() { p.child.do("nofile", 0) },
	}[p.fault]
	if p.moment == beforeOpen {
		p.tryBeforeOpen(fault)
		return
	}
	p.connect()
	p.passes()
	p.until("a session", patience, func() bool { return len(p.to.sessions()) > 0 })
	theirs := p.to.sessions()[0]
	p.settled(p.to)
	if p.fault == noFiles {
		fault()
		p.to.send(theirs, 40)
		p.child.do("send", 40)
		p.passes()
		p.settled(p.to)
		p.wantOpen(p.to, theirs)
		p.child.do("files", 0)
		return
	}
	release := func() {}
	switch p.moment {
	case midFrame:
		p.during(p.part(), func() { p.child.tell("send", 700) }, fault)
	case full, closing:
		release = p.to.block()
		p.child.do("fill", 0)
		if p.moment == closing {
			p.child.do("close", 0)
		}
		fault()
	default:
		for range 50 {
			p.to.send(theirs, 40)
		}
		p.settled(p.to)
		for range 50 { // so that it happens in the midst of the acknowledgements
			p.to.send(theirs, 40)
		}
		fault()
	}
	since := time.Now()
	for range 3 {
		p.to.send(theirs, 40)
	}
	release()
	p.wantEnd(p.to, theirs, since)
	p.back2life()
	p.passes()
}

// tryBeforeOpen is the fault during the handshake, or before there is one.
func (p *pairing) tryBeforeOpen(fault func()) {
	if p.fault == noFiles {
		fault()
		p.connect()
		p.until("it fails for lack of a descriptor", patience, func() bool { return p.child.do("look", 0).Tries > 0 })
		p.child.do("files", 0)
		p.passes()
		return
	}
	p.opening(fault)
	if p.side == "server" {
		p.until("an attempt fails or a session ends", p.limit(), func() bool {
			_, closed := p.to.counts()
			return int64(closed)+p.cl.Stats().DialFailures > 0
		})
	} else if p.transport != udp {
		p.until("an attempt fails or a session ends", p.limit(), func() bool {
			_, closed := p.to.counts()
			return int64(closed)+p.srv.Stats().Failed > 0
		})
	}
	p.back2life()
	p.passes()
}

// opening connects, and has a fault happen meanwhile.
func (p *pairing) opening(fault func()) {
	p.during(p.hello(), func() {
		p.connect()
		if p.transport != udp {
			return
		}
		// It opens without a packet.
		if p.side == "client" {
			p.child.tell("send", 40)
		} else {
			p.until("a session", patience, func() bool { return len(p.to.sessions()) > 0 })
			p.to.send(p.to.sessions()[0], 40)
		}
	}, fault)
}

// during has a fault happen when n more bytes from the side have passed, which
// act sees to. What follows them waits.
func (p *pairing) during(n int, act, fault func()) {
	p.Helper()
	reached, over := make(chan struct{}), make(chan struct{})
	defer close(over)
	p.road.trip(p.side, n, func() { close(reached); <-over })
	act()
	select {
	case <-reached:
		fault()
	case <-time.After(patience):
		p.Fatalf("%d bytes do not pass", n)
	}
}

// back2life has the process go on, or another one take its place.
func (p *pairing) back2life() {
	if p.fault == stopped {
		p.child.signal(syscall.SIGCONT)
		for p.child.owed > 0 {
			p.child.hear()
		}
		return
	}
	p.child = p.fork(p.back)
	if p.side == "client" {
		p.connect()
	}
}

// finish ends both sides and compares their books.
func (p *pairing) finish() {
	if p.Failed() {
		p.abandon()
		return
	}
	if p.transport == udp {
		p.eventually(p.unit, func() bool { return p.to.book.count(open, accepted) == 0 })
		p.to.book.expire()
	} else {
		p.settled(p.to)
	}
	if p.side == "server" {
		p.must(p.cl.Shutdown(p.Context()))
	}
	last := p.child.do("end", 0)
	if p.side == "client" {
		p.must(p.srv.Shutdown(p.Context()))
	}
	p.road.close()
	p.child.kill()
	if last.Left != "" {
		p.Errorf("left in the process of the %s: %s", p.side, last.Left)
	}
	mine, theirs := p.to.book.page(), p.theirs(last.Page)
	p.noError(compare(mine, theirs))
	p.noError(compare(theirs, mine))
	if opened, closed := p.to.counts(); opened != closed {
		p.Errorf("%d OnOpen, %d OnClose", opened, closed)
	}
}

// theirs is what the processes of a side have sent and got: of the last one its
// own word, of those that were killed their journals.
func (p *pairing) theirs(all page) page {
	p.Helper()
	for _, c := range p.children[:len(p.children)-1] {
		journal, err := readJournal(c.journal)
		p.must(err)
		if p.moment != beforeOpen && len(journal.Got)+len(journal.Fates) == 0 {
			p.Error("the process that was killed has an empty journal")
		}
		all.add(journal)
	}
	return all
}

// abandon ends what a failure has left behind.
func (p *pairing) abandon() {
	p.road.heal()
	if p.srv != nil {
		_ = p.srv.Close()
	}
	if p.cl != nil {
		_ = p.cl.Close()
	}
	p.child.kill()
	p.road.close()
}

func (p *pairing) noError(err error) {
	if err != nil {
		p.Error(err)
	}
}
