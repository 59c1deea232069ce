// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"errors"
	"strings"
)

// recovers heals the road: the pool fills by itself, and messages pass again.
func (b *bed) recovers() {
	b.Helper()
	b.road.heal()
	b.until("the pool recovers", b.limit()+patience, func() bool { return b.cl.State().Live == b.pool })
	if b.transport == udp {
		b.expire()
	}
	b.settled(b.client, b.server)
	b.until("messages pass again", b.limit()+patience, func() bool {
		before := b.client.book.count(acked)
		for _, s := range b.client.sessions() {
			b.client.send(s, 40)
		}
		return b.eventually(b.unit, func() bool { return b.client.book.count(acked) > before })
	})
	before := b.server.book.count(acked)
	b.until("messages pass back again", b.limit()+patience, func() bool {
		for _, s := range b.server.sessions() {
			b.server.send(s, 40)
		}
		return b.eventually(b.unit, func() bool { return b.server.book.count(acked) > before })
	})
}

func (b *bed) expire() {
	b.eventually(b.unit, func() bool { return b.client.book.count(open, accepted)+b.server.book.count(open, accepted) == 0 })
	b.client.book.expire()
	b.server.book.expire()
}

// finish ends both sides and compares their books.
func (b *bed) finish() {
	if b.Failed() {
		b.road.heal()
		_, _ = b.cl.Close(), b.srv.Close()
	} else if b.transport == udp {
		b.expire()
	} else {
		b.settled(b.client, b.server)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for what, err := range map[string]error{"client": b.cl.Shutdown(ctx), "server": b.srv.Shutdown(ctx)} {
		if err != nil {
			b.Errorf("shutdown of the %s: %v", what, err)
		}
	}
	b.road.close()
	server, client := b.server.book.page(), b.client.book.page()
	if m, ok := b.road.(postman); ok {
		server.Came, client.Came = m.copies(b.client.name), m.copies(b.server.name)
	}
	if err := compare(server, client); err != nil {
		b.Errorf("what the server sent: %v", err)
	}
	if err := compare(client, server); err != nil {
		b.Errorf("what the client sent: %v", err)
	}
	for _, p := range []*party{b.server, b.client} {
		if opened, closed := p.counts(); opened != closed {
			b.Errorf("%s: %d OnOpen, %d OnClose", p.name, opened, closed)
		}
	}
	if st := b.srv.Stats(); st.Sessions+st.Opening != 0 || st.Pending != 0 {
		b.Errorf("the server is left with %+v", st)
	}
}

// replay says how to have a failure again, and how far it had come.
func (b *bed) replay() {
	if b.Failed() {
		b.Logf("GETTY_FAULTS_SEED=%d go test -count=1 -run %q . # replays it\nserver: %s\nclient: %s", b.seed, b.Name(), b.server, b.client)
	}
}

// String is for failures.
func (p *party) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	causes := make([]string, 0, len(p.causes))
	for _, err := range p.causes {
		if err == nil {
			err = errors.New("local")
		}
		causes = append(causes, err.Error())
	}
	k := p.book
	return sprintf("%d live, closed by [%s]; sent %d, acked %d, open %d, refused %d, failed %d, lost %d", len(p.live),
		strings.Join(causes, "; "), len(k.sent), k.count(acked), k.count(open, accepted), k.count(refused), k.count(failed), k.count(lost))
}
