// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

const (
	numberSize  = 8 // of a message's number, which is all that its acknowledgement has
	messageSize = 64
	udp         = "udp"

	// ackTimeout is how long the sender of a packet waits for its acknowledgement.
	// Nothing else tells that it was lost. It is looked at every expirePeriod.
	ackTimeout   = 500 * time.Millisecond
	expirePeriod = 100 * time.Millisecond
)

// load is a pool of sessions to one URL and those who send over it.
type load struct {
	getty.NopEvents[[]byte]
	name   string
	client *getty.Client[[]byte]
	ledger ledger
	rtt    histogram

	ids     atomic.Uint64
	cancel  context.CancelFunc
	senders sync.WaitGroup

	// Of the last sample.
	at    time.Duration
	acked int64
}

// accountKey is where a session keeps its account.
type accountKey struct{}

func newLoad(url string, cfg *tls.Config) (*load, error) {
	l := &load{name: url[:strings.Index(url, "://")]}
	clientCfg := getty.ClientConfig{
		Config:   getty.Config{TLS: cfg, MaxMessageSize: 1024},
		PoolSize: poolSize,
		Backoff:  getty.Backoff{Max: 300 * time.Millisecond},
	}
	if l.name == udp {
		clientCfg.CronPeriod = expirePeriod
	}
	var err error
	l.client, err = getty.NewClient(url, codec.LengthField{}, getty.EventListener[[]byte](l), clientCfg)
	return l, err
}

// run starts the senders, one for each session that there should be.
func (l *load) run() {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	for range poolSize {
		l.senders.Go(func() { l.send(ctx) })
	}
}

// send sends numbered messages over the sessions of the pool in turn until ctx
// ends. It waits while all slots of its session are in flight, and inside the
// client while there is no session.
func (l *load) send(ctx context.Context) {
	msg := make([]byte, messageSize)
	for {
		s, err := l.client.Session(ctx)
		if err != nil {
			return // ctx has ended: this client never gives up
		}
		a := accountOf(s)
		select {
		case <-a.slots:
		case <-s.Done():
			continue
		case <-ctx.Done():
			return
		}
		id := l.ids.Add(1)
		binary.BigEndian.PutUint64(msg, id)
		a.begin(id, time.Now())
		a.returned(id, s.Send(msg))
	}
}

func accountOf(s *getty.Session[[]byte]) *account { return s.Value(accountKey{}).(*account) }

func (l *load) OnOpen(s *getty.Session[[]byte]) error {
	s.SetValue(accountKey{}, newAccount(&l.ledger, window))
	return nil
}

func (l *load) OnMessage(s *getty.Session[[]byte], msg []byte) error {
	if len(msg) != numberSize {
		return fmt.Errorf("acknowledgement of %d bytes, want %d", len(msg), numberSize)
	}
	if rtt, ok := accountOf(s).acked(binary.BigEndian.Uint64(msg), time.Now()); ok {
		l.rtt.record(rtt)
	}
	return nil
}

// OnCron is called on udp only.
func (l *load) OnCron(s *getty.Session[[]byte]) { accountOf(s).expire(time.Now().Add(-ackTimeout)) }

func (l *load) OnClose(s *getty.Session[[]byte], _ error) { accountOf(s).close() }

// stop ends the senders: after it nothing is sent any more.
func (l *load) stop() {
	l.cancel()
	l.senders.Wait()
}

// close lets the last acknowledgements arrive, or time out, and ends the client. After it
// nothing changes the ledger any more.
func (l *load) close() error {
	deadline := time.Now().Add(settle)
	for l.ledger.sum().missing() > 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	return l.client.Shutdown(ctx)
}

// sample is a row of the table.
type sample struct {
	name       string
	live, size int
	rate       float64 // acknowledged messages per second
	p50, p99   time.Duration
	reconnects int64
}

// sample tells what happened since the last one.
func (l *load) sample(now time.Duration) sample {
	acked := l.ledger.acked.Load()
	state := l.client.State()
	s := sample{
		name: l.name, live: state.Live, size: state.Size,
		rate:       float64(acked-l.acked) / (now - l.at).Seconds(),
		reconnects: l.client.Stats().Reconnects,
	}
	s.p50, s.p99 = l.rtt.take()
	l.at, l.acked = now, acked
	return s
}
