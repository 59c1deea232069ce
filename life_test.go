// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// diary notes what happens, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, what)
}

func (d *diary) is(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.lines, want) {
		t.Errorf("got  %q\nwant %q", d.lines, want)
	}
}

// listed tells whether an endpoint lists a session.
func listed(ep endpoint, s *session) string {
	for l := range ep.Sessions() {
		if l == s {
			return "listed"
		}
	}
	return "not listed"
}

// TestLifeInOrder follows one session: handshake, Configure, OnOpen, the list
// of sessions, messages, OnClose.
func TestLifeInOrder(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		var ep endpoint
		var d diary
		ready, closed := newGate(t), make(chan struct{})
		events := funcs{
			Open: func(s *session) error {
				ready.wait()
				d.note("OnOpen, " + listed(ep, s))
				return s.Send("welcome")
			},
			Message: func(s *session, m string) error {
				d.note("OnMessage " + m + ", " + listed(ep, s))
				return nil
			},
			Close: func(s *session, cause error) {
				d.note("OnClose " + getty.CauseKind(cause) + ", " + listed(ep, s))
				close(closed)
			},
		}
		ep, nc := open(t, spec{events: events, configure: func(s *session, _ *setup) error {
			if tc, ok := s.NetConn().(*tls.Conn); ok && !tc.ConnectionState().HandshakeComplete {
				t.Error("Configure before the handshake")
			}
			d.note("Configure")
			return nil
		}})
		write(t, nc, "one\ntwo\n") // waits for its turn
		ready.open()
		if got := readLine(t, nc); got != "welcome" {
			t.Errorf("OnOpen has sent %q", got)
		}
		nc.Close()
		ended(t, closed, "OnClose")
		finish(t, ep)
		d.is(t, "Configure", "OnOpen, not listed", "OnMessage one, listed", "OnMessage two, listed", "OnClose eof, not listed")
	})
}

// TestLifeConfigureOnceForEachSession, also for those of a pool that reconnects.
func TestLifeConfigureOnceForEachSession(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		accepted, r := record(), record()
		_, url := serve(t, tr, accepted, getty.Config{}, nil)
		configured := make(chan *session, 16)
		c := pooled(t, url, r, getty.ClientConfig{Backoff: getty.Backoff{Min: time.Millisecond, Max: time.Millisecond}})
		c.Configure = func(s *session, _ *setup) error {
			configured <- s
			return nil
		}
		must(t, c.Connect(within(t)))
		for range 3 {
			if s := receive(t, r.opened, "OnOpen"); receive(t, configured, "Configure") != s {
				t.Error("Configure and OnOpen of different sessions")
			}
			must(t, receive(t, accepted.opened, "accepted session").Close())
			wantEnd(t, r, io.EOF)
		}
	})
}

// TestLifeOnOpenMaySend as much as it likes: the peer reads meanwhile.
func TestLifeOnOpenMaySend(t *testing.T) {
	const n = 5000
	eachSide(t, func(t *testing.T, open opener) {
		r := record()
		r.onOpen = func(s *session) error {
			for range n {
				if err := s.Send("a line of no great interest to anybody"); err != nil {
					return err
				}
			}
			return s.Close()
		}
		_, nc := open(t, spec{events: r, cfg: getty.Config{HighWatermark: 64 << 10}})
		if got := readLines(t, nc); got != n {
			t.Errorf("peer got %d lines of %d", got, n)
		}
		nc.Close()
		wantEnd(t, r, nil)
	})
}

// TestLifeClosedInOnOpen: who dials gets an error, not a dead session.
func TestLifeClosedInOnOpen(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		for name, tt := range map[string]struct {
			end  func(s *session)
			want error
		}{
			"Close": {func(s *session) { _ = s.Close() }, nil},
			"cause": {func(s *session) { s.CloseWithCause(errTest) }, errTest},
		} {
			r := record()
			r.onOpen = func(s *session) error { tt.end(s); return nil }
			s, err := getty.Dial(within(t), url, getty.Codec[string](&hooked{}), r, getty.Config{TLS: clientTLS()})
			if s != nil || !errors.Is(err, getty.ErrClosed) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%s: Dial gave %v, %v", name, s, err)
			}
			wantEnd(t, r, tt.want)
		}
	})
}
