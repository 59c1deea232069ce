// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// The kinds of messages, their first byte.
const (
	data byte = iota
	ack
	probe  // of the keepalive
	answer // to it
)

const headSize = 9 // kind and number

// party is one side: it numbers what it sends and acknowledges what it gets.
type party struct {
	name string
	udp  bool
	book *book

	mu     sync.Mutex
	live   []*session // in the order of OnOpen
	causes []error
	opened int
	ended  map[*session]ending
	gate   *gate // nil: OnMessage does not wait
	hook   map[string]func(*session) error
	lies   map[*session]string              // the faults of codecs; of nil: of sessions to come
	took   map[*session]int64               // how many bytes had come when a codec lied last
	tune   func(setup *getty.Setup[[]byte]) // of each session; nil: none
}

// ending is why a session ended, and when.
type ending struct {
	cause error
	at    time.Time
}

// gate is where OnMessage waits: of some sessions, or of all.
type gate struct {
	of   []*session
	open chan struct{}
}

func newParty(name string) *party {
	return &party{
		name: name, book: newBook(), ended: make(map[*session]ending),
		hook: make(map[string]func(*session) error), lies: make(map[*session]string), took: make(map[*session]int64),
	}
}

// configure gives each session a codec that can lie alone.
func (p *party) configure(s *session, setup *getty.Setup[[]byte]) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.lies[nil]; f != "" {
		p.lies[s] = f
	}
	setup.Codec = liar{p: p, s: s}
	if p.tune != nil {
		p.tune(setup)
	}
	return nil
}

// lie has the codec of a session lie from now on; "": no more.
func (p *party) lie(s *session, fault string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lies[s] = fault
}

// The callbacks that a hook can be set for.
const (
	onOpen    = "OnOpen"
	onMessage = "OnMessage"
	onClose   = "OnClose"
)

// once sets what a callback does the next time.
func (p *party) once(callback string, f func(*session) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook[callback] = f
}

func (p *party) run(callback string, s *session) error {
	p.mu.Lock()
	f := p.hook[callback]
	delete(p.hook, callback)
	p.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(s)
}

// block makes OnMessage of the given sessions, or of all, wait until the
// returned function is called.
func (p *party) block(of ...*session) (release func()) {
	g := &gate{of, make(chan struct{})}
	p.mu.Lock()
	p.gate = g
	p.mu.Unlock()
	return sync.OnceFunc(func() {
		p.mu.Lock()
		p.gate = nil
		p.mu.Unlock()
		close(g.open)
	})
}

func (p *party) OnOpen(s *session) error {
	p.mu.Lock()
	p.live = append(p.live, s)
	p.opened++
	p.mu.Unlock()
	return p.run(onOpen, s)
}

func (p *party) OnMessage(s *session, m []byte) error {
	if len(m) < headSize {
		return fmt.Errorf("message of %d bytes", len(m))
	}
	id := binary.BigEndian.Uint64(m[1:])
	switch m[0] {
	case ack:
		p.book.acked(id, s)
		return nil
	case answer:
		return nil
	case probe:
		return p.unlessOver(s.Send(message(answer, 0, headSize)))
	}
	for _, b := range m[headSize:] {
		if b != byte(id) {
			return fmt.Errorf("message %d is damaged", id)
		}
	}
	p.book.delivered(id, s)
	if err := p.run(onMessage, s); err != nil {
		return err
	}
	p.mu.Lock()
	g := p.gate
	p.mu.Unlock()
	if g != nil && (len(g.of) == 0 || slices.Contains(g.of, s)) {
		<-g.open
	}
	return p.unlessOver(s.Send(message(ack, id, headSize)))
}

// unlessOver keeps a session going to which nothing can be written any more:
// what the peer had sent is still to be delivered. On udp packets may get lost.
func (p *party) unlessOver(err error) error {
	if p.udp || errors.Is(err, getty.ErrClosed) {
		return nil
	}
	return err
}

func (p *party) OnCron(*session) {}

func (p *party) OnClose(s *session, cause error) {
	p.book.close(s)
	p.mu.Lock()
	p.live = slices.DeleteFunc(p.live, func(l *session) bool { return l == s })
	p.causes = append(p.causes, cause)
	p.ended[s] = ending{cause, time.Now()}
	p.mu.Unlock()
	_ = p.run(onClose, s)
}

// sessions are the live ones.
func (p *party) sessions() []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.live)
}

// over tells whether a session has ended, and why.
func (p *party) over(s *session) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ended := p.ended[s]
	return ended, e.cause
}

func (p *party) counts() (opened, closed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened, len(p.causes)
}

// send sends one message and returns its number.
func (p *party) send(s *session, size int) uint64 {
	id := p.book.begin(s)
	p.book.returned(id, s.Send(message(data, id, size)))
	return id
}

// trySend is send that does not wait for room.
func (p *party) trySend(s *session, size int) error {
	id := p.book.begin(s)
	err := s.TrySend(message(data, id, size))
	p.book.returned(id, err)
	return err
}

func message(kind byte, id uint64, size int) []byte {
	m := make([]byte, max(size, headSize))
	for i := range m {
		m[i] = byte(id)
	}
	m[0] = kind
	binary.BigEndian.PutUint64(m[1:], id)
	return m
}

// liar is the codec of a session, or of a party for a start: a good one until it
// is told to lie.
type liar struct {
	codec.LengthField
	p *party
	s *session
}

// fault is the lie of a session's codec.
func (p *party) fault(s *session) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault := p.lies[s]
	if fault != "" && s != nil {
		p.took[s] = s.Stats().BytesIn
	}
	return fault
}

func (l liar) Decode(data []byte) ([]byte, int, error) {
	switch l.p.fault(l.s) {
	case usesNone:
		return data, 0, nil
	case usesMore:
		return data, len(data) + 1, nil
	case wantsMore:
		return nil, 0, nil
	}
	return l.LengthField.Decode(data)
}

func probeFrame() []byte {
	b, err := codec.LengthField{}.Append(nil, message(probe, 0, headSize))
	if err != nil {
		panic(err)
	}
	return b
}
