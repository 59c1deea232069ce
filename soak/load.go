// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

var transports = []string{"tcp", "tls", "unix", "udp", "ws", "wss"}

const (
	tick      = 10 * time.Millisecond
	ackWithin = 3 * time.Second // on udp, where nothing tells of a loss

	lateWithin = 10 * ackWithin // on a busy machine
)

// load is a pool of sessions of one transport, and who sends over it.
type load struct {
	getty.NopEvents[[]byte]
	name   string
	size   int
	client *getty.Client[[]byte]
	books  books
	rtt    *histogram
	conns  sync.Map // what was dialed, by its local address
	ids    atomic.Uint64
	closes atomic.Int64 // sessions that have ended

	hurried bool // the end waits for no acknowledgements

	stop   context.CancelFunc
	sender sync.WaitGroup
}

const (
	soakPeriod  = 2 * time.Second // how often each session sends
	floodPeriod = 100 * time.Millisecond
)

type pageKey struct{}

func pageOf(s *getty.Session[[]byte]) *page { return s.Value(pageKey{}).(*page) }

func newLoad(url, cert string, size int, rtt *histogram) (*load, error) {
	l := &load{name: url[:strings.Index(url, "://")], size: size, rtt: rtt}
	l.books.udp = l.name == "udp"
	cfg := getty.ClientConfig{
		Config: getty.Config{
			TLS: clientTLS(cert), MaxMessageSize: maxMessage, Backpressure: getty.PolicyFail,
			Keepalive: getty.Keepalive{},
		},
		PoolSize: size, Backoff: getty.Backoff{Min: 50 * time.Millisecond, Max: time.Second},
		StablePeriod: 50 * time.Millisecond,
		Dial:         l.dial,
	}
	if l.books.udp {
		cfg.CronPeriod = ackWithin / 3
		cfg.Dial = nil
	}
	var err error
	l.client, err = getty.NewClient(url, codec.LengthField{}, getty.EventListener[[]byte](l), cfg)
	return l, err
}

// dial keeps the conn, to do things to it behind the session's back.
func (l *load) dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if tc, ok := nc.(*net.TCPConn); ok && err == nil {
		l.conns.Store(tc.LocalAddr().String(), tc)
	}
	return nc, err
}

func (l *load) OnOpen(s *getty.Session[[]byte]) error {
	s.SetValue(pageKey{}, newPage(&l.books))
	return nil
}

func (l *load) OnMessage(s *getty.Session[[]byte], msg []byte) error {
	p := pageOf(s)
	if len(msg) != numberSize {
		return fmt.Errorf("an acknowledgement of %d bytes", len(msg))
	}
	id := binary.BigEndian.Uint64(msg)
	if id == farewell {
		if l.client.Retire(s) {
			p.leave()
		}
		return nil
	}
	if rtt, ok := p.ack(id); ok {
		l.rtt.record(rtt)
	}
	if p.panicNext.Load() {
		panic("asked to panic")
	}
	if p.left() {
		return s.Close()
	}
	return nil
}

// OnCron is called on udp only, where no server closes what has heard its farewell.
func (l *load) OnCron(s *getty.Session[[]byte]) {
	p := pageOf(s)
	p.expire(time.Now())
	if p.left() {
		_ = s.Close()
	}
}

func (l *load) OnClose(s *getty.Session[[]byte], _ error) {
	pageOf(s).close()
	l.closes.Add(1)
	l.conns.Delete(s.LocalAddr().String())
}

// start has each session send once per period, in turn.
func (l *load) start(period time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.sender.Go(func() {
		t := time.NewTicker(tick)
		defer t.Stop()
		for owed := 0.0; ; {
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
			for owed += float64(l.size) * float64(tick) / float64(period); owed >= 1; owed-- {
				if s, err := l.client.Session(ctx); err == nil {
					_ = l.send(s, acknowledge)
				}
			}
		}
	})
}

func (l *load) send(s *getty.Session[[]byte], what deed) error {
	var msg [messageSize]byte
	id := l.ids.Add(1)
	binary.BigEndian.PutUint64(msg[:], id)
	msg[numberSize] = byte(what)
	return pageOf(s).send(id, what == stall, func() error { return s.Send(msg[:]) })
}

// settled waits until nothing is in flight, as long as that can take.
func (l *load) settled() {
	t := time.NewTicker(tick)
	defer t.Stop()
	for deadline := time.Now().Add(2 * ackWithin); l.books.missing() > 0 && time.Now().Before(deadline); {
		<-t.C
	}
}

// end stops the sender, waits for the last acknowledgements and ends the pool.
func (l *load) end() error {
	if l.stop != nil {
		l.stop()
		l.sender.Wait()
	}
	if !l.hurried {
		l.settled()
	}
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	return l.client.Shutdown(ctx)
}
