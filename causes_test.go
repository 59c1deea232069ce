// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// causes are ways to end a session, by its own side or by its peer.
var causes = []struct {
	name string
	kind string // of CauseKind
	is   error
	cfg  getty.Config
	own  func(s *session) error  // run in OnMessage, if set
	peer func(nc net.Conn)       // run by the peer after its message, if set
	all  func(ep endpoint)       // run from outside, if set
	code func(data []byte) error // run by Decode, if set
}{
	{name: "Close", kind: "local", own: func(s *session) error { return s.Close() }},
	{name: "CloseWithCause", kind: "error", is: errTest, own: func(s *session) error { s.CloseWithCause(errTest); return nil }},
	{name: "CloseWithCause nil", kind: "local", own: func(s *session) error { s.CloseWithCause(nil); return nil }},
	{name: "OnMessage", kind: "error", is: errTest, own: func(*session) error { return errTest }},
	{name: "Decode", kind: "error", is: errTest, code: func([]byte) error { return errTest }},
	{name: "EOF", kind: "eof", is: io.EOF, peer: func(nc net.Conn) { nc.Close() }},
	{name: "torn", kind: "unexpected eof", is: io.ErrUnexpectedEOF, peer: func(nc net.Conn) {
		_, _ = io.WriteString(nc, "no end")
		nc.Close()
	}},
	{name: "too long", kind: "message too long", is: getty.ErrMessageTooLong, cfg: getty.Config{MaxMessageSize: 10}, peer: func(nc net.Conn) {
		_, _ = io.WriteString(nc, strings.Repeat("x", 11))
	}},
	{name: "idle", kind: "idle", is: getty.ErrIdle, cfg: getty.Config{IdleTimeout: time.Millisecond}},
	{name: "message timeout", kind: "message timeout", is: getty.ErrMessageTimeout, cfg: getty.Config{MessageTimeout: time.Millisecond}, peer: func(nc net.Conn) {
		_, _ = io.WriteString(nc, "no end")
	}},
	{name: "keepalive", kind: "keepalive", is: getty.ErrKeepalive, cfg: getty.Config{Keepalive: getty.Keepalive{Interval: time.Millisecond}}},
	{name: "slow consumer", kind: "slow consumer", is: getty.ErrSlowConsumer, cfg: getty.Config{Backpressure: getty.PolicyClose}, own: func(s *session) error {
		for s.Send(strings.Repeat("x", 1<<20)) == nil { //nolint:revive // until the peer does not keep up
		}
		return nil
	}},
	{name: "Shutdown", kind: "shutdown", is: getty.ErrShutdown, all: func(ep endpoint) { go ep.Shutdown(context.Background()) }},
	{name: "endpoint's Close", kind: "shutdown", is: getty.ErrShutdown, all: func(ep endpoint) { _ = ep.Close() }},
	{name: "socket", kind: "closed", is: net.ErrClosed, own: func(s *session) error { return s.NetConn().Close() }},
}

// TestG2CausesOfClose: OnClose, the context and later sends all tell the cause.
func TestG2CausesOfClose(t *testing.T) {
	for _, tt := range causes {
		t.Run(tt.name, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				r, handled := record(), make(chan struct{}, 1)
				r.onMessage = func(s *session, _ string) error {
					defer func() { handled <- struct{}{} }()
					if tt.own == nil {
						return nil
					}
					return tt.own(s)
				}
				sp := spec{events: r, cfg: tt.cfg}
				if tt.code != nil {
					sp.configure = with(&hooked{onDecode: tt.code})
				}
				ep, nc := open(t, sp)
				s := receive(t, r.opened, "OnOpen")
				ctx := s.Context()
				_, _ = io.WriteString(nc, "message\n")
				if tt.code == nil && tt.name != "slow consumer" && tt.cfg.IdleTimeout+tt.cfg.Keepalive.Interval == 0 {
					receive(t, handled, "OnMessage")
				}
				if tt.peer != nil {
					tt.peer(nc)
				}
				if tt.all != nil {
					tt.all(ep)
				}
				ended(t, s.Done(), "end of the session")
				nc.Close()
				cause := receive(t, r.closed, "OnClose")
				wantCause(t, cause, tt.is)
				if kind := getty.CauseKind(cause); kind != tt.kind {
					t.Errorf("the kind of %v is %q, want %q", cause, kind, tt.kind)
				}
				for name, err := range map[string]error{"context": context.Cause(ctx), "Send": s.Send("x")} {
					if !errors.Is(err, getty.ErrClosed) || tt.is != nil && !errors.Is(err, tt.is) {
						t.Errorf("%s: %v, want ErrClosed and %v", name, err, tt.is)
					}
				}
				finish(t, ep)
				if n := ep.Stats().Causes[tt.kind]; n != 1 {
					t.Errorf("causes are counted as %v", ep.Stats().Causes)
				}
				if n := len(r.closed); n > 0 {
					t.Errorf("%d more OnClose", n)
				}
			})
		})
	}
}

// TestG4FirstCauseWins over all that come later.
func TestG4FirstCauseWins(t *testing.T) {
	first := errors.New("first")
	for name, then := range map[string]func(s *session) error{
		"cause": func(s *session) error { s.CloseWithCause(errTest); return nil },
		"Close": func(s *session) error { return s.Close() },
		"error": func(*session) error { return errTest },
		"panic": func(*session) error { panic(errTest) },
		"conn":  func(s *session) error { return s.NetConn().Close() },
	} {
		for _, want := range []error{nil, first} {
			t.Run(name, func(t *testing.T) {
				eachSide(t, func(t *testing.T, open opener) {
					r := record()
					r.onMessage = func(s *session, _ string) error {
						s.CloseWithCause(want)
						return then(s)
					}
					ep, nc := open(t, spec{events: r})
					write(t, nc, "message\n")
					_, _ = io.Copy(io.Discard, nc)
					nc.Close()
					if cause := receive(t, r.closed, "OnClose"); !errors.Is(cause, want) {
						t.Errorf("cause is %v, want %v", cause, want)
					}
					finish(t, ep)
					if n := len(r.closed); n > 0 {
						t.Errorf("%d more OnClose", n)
					}
				})
			})
		}
	}
}

// TestG4FirstCauseWinsARace: one of many, and all observers agree on it.
func TestG4FirstCauseWinsARace(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		r := record()
		_, nc := open(t, spec{events: r})
		s := receive(t, r.opened, "OnOpen")
		var closing sync.WaitGroup
		for range 8 {
			closing.Go(func() { s.CloseWithCause(errors.New("one of many")) })
		}
		closing.Wait()
		readAll(t, nc)
		nc.Close()
		cause := receive(t, r.closed, "OnClose")
		if err := s.Send("x"); !errors.Is(err, cause) {
			t.Errorf("Send: %v, but OnClose got %v", err, cause)
		}
		if err := context.Cause(s.Context()); !errors.Is(err, cause) {
			t.Errorf("context: %v, but OnClose got %v", err, cause)
		}
	})
}

// TestG2ResetIsTheCause: a peer that resets the stream is told from one that
// closes it.
func TestG2ResetIsTheCause(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		r := record()
		_, nc := open(t, spec{events: r})
		s := receive(t, r.opened, "OnOpen")
		if s.Transport() == "unix" {
			t.Skip("no resets")
		}
		reset(nc)
		if tc, ok := nc.(interface{ NetConn() net.Conn }); ok {
			nc = tc.NetConn() // without a close_notify
		}
		must(t, nc.Close())
		if cause := receive(t, r.closed, "OnClose"); getty.CauseKind(cause) != "reset" {
			t.Errorf("cause is %v", cause)
		}
	})
}
