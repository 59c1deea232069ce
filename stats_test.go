// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

func TestD52CountersAreExactOnBothEnds(t *testing.T) {
	const sessions, share = 4, 250
	eachTransport(t, func(t *testing.T, tr transport) {
		srv, url := serve(t, tr, echo, getty.Config{}, nil)
		var bytes, messages int64
		for n := range sessions {
			r := record()
			s := dial(t, url, r, getty.Config{})
			var own int64
			for i := range share {
				line := numbered(n, i, i*97%5000)
				must(t, s.Send(line))
				own += int64(len(line) + 1)
			}
			for range share {
				receive(t, r.messages, "answer")
			}
			must(t, s.Close())
			wantEnd(t, r, nil)
			got := s.Stats()
			if isWebSocket(tr) { // with the headers of frames and a close frame
				if got.BytesOut < own+share*2+4 || got.BytesIn < own+share*2 {
					t.Errorf("session's stats are %+v for %d bytes", got, own)
				}
				own = 0
				bytes, got.BytesIn, got.BytesOut = bytes+got.BytesOut, 0, 0
			}
			want := getty.SessionStats{BytesIn: own, BytesOut: own, MessagesIn: share, MessagesOut: share}
			if got != want {
				t.Errorf("session's stats are %+v, want %+v", got, want)
			}
			bytes, messages = bytes+own, messages+share
		}
		must(t, srv.Shutdown(within(t)))
		st := srv.Stats()
		if isWebSocket(tr) {
			st.BytesOut = bytes // the server's frames have no masks
		}
		if st.BytesIn != bytes || st.BytesOut != bytes || st.MessagesIn != messages || st.MessagesOut != messages {
			t.Errorf("server's stats are %+v, want %d bytes and %d messages each way", st, bytes, messages)
		}
		if st.Opened != sessions || st.Closed != sessions || st.Sessions != 0 || st.Pending != 0 || st.Causes["eof"] != sessions {
			t.Errorf("server's stats are %+v, want %d sessions opened and closed by their peers", st, sessions)
		}
	})
}

func TestD52CountersAre64BitsWide(t *testing.T) {
	for _, typ := range []reflect.Type{
		reflect.TypeFor[getty.SessionStats](), reflect.TypeFor[getty.Stats](), reflect.TypeFor[getty.UDPStats](),
	} {
		for i := range typ.NumField() {
			f := typ.Field(i)
			switch f.Name {
			case "Pending", "Sessions", "Opening": // no sums, they fall again
			case "Causes", "Refusals": // maps of sums
			case "UDP": // sums of its own
			default:
				if f.Type.Kind() != reflect.Int64 {
					t.Errorf("%s.%s is %v, want int64", typ.Name(), f.Name, f.Type)
				}
			}
		}
	}
}

func TestD52LivingAndClosedSessionsAreSummedUpOnce(t *testing.T) {
	inVirtualStream(t, func(t *testing.T, v *virtual) {
		srv := v.serve(t, echo, getty.Config{}, nil)
		for i := range 5 {
			nc := v.dial(t)
			ask(t, nc, "hello")
			if i%2 == 0 {
				_ = nc.Close()
			}
		}
		v.tape(v.dial(t)).text()
		st := srv.Stats()
		if st.BytesIn != 30 || st.BytesOut != 30 || st.MessagesIn != 5 || st.MessagesOut != 5 {
			t.Errorf("stats are %+v, want 5 messages of 6 bytes", st)
		}
		if st.Opened != 6 || st.Closed != 3 || st.Sessions != 3 {
			t.Errorf("stats are %+v, want 6 opened and 3 closed", st)
		}
	})
}

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// logger is one of all levels.
func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// echoOrFail is an OnMessage that fails when it is asked to.
func echoOrFail(s *session, m string) error {
	switch {
	case strings.HasPrefix(m, "panic"):
		panic("a listener's own words")
	case strings.HasPrefix(m, "error"):
		return errors.New("a listener's own words")
	}
	return s.Send(m)
}

func TestD53PayloadsAreNeverLoggedAndReturnedErrorsNeither(t *testing.T) {
	const secret = "hunter2"
	eachTransport(t, func(t *testing.T, tr transport) {
		var log logged
		r := record()
		r.onMessage = echoOrFail
		cfg := getty.Config{
			MaxMessageSize: 100,
			Logger:         log.logger(),
		}
		srv, url := serve(t, tr, r, cfg, nil)
		for _, line := range []string{"fine " + secret, "error " + secret, "panic " + secret, strings.Repeat(secret, 100), secret} {
			nc := peer(t, url)
			s := receive(t, r.opened, "OnOpen")
			write(t, nc, line+"\n")
			halfClose(t, nc)
			receive(t, r.closed, "OnClose")
			_ = nc.Close()
			wantSendError(t, s.Send(secret), getty.ErrClosed)
			if err := s.Send(secret + "\n"); strings.Contains(err.Error(), secret) {
				t.Errorf("error %q has the payload", err)
			}
		}
		must(t, srv.Shutdown(within(t)))
		if got := log.text(); strings.Contains(got, secret) {
			t.Errorf("payload was logged: %s", got)
		} else if got != "" {
			t.Errorf("what OnClose and callers were told was logged, too: %s", got)
		}
	})
}

// Handshakes that fail are told from what Configure says, whatever the error is.
func TestRefusalsOfHandshakes(t *testing.T) {
	failing := func(err error) func(net.Conn) (getty.Preface, error) {
		return func(net.Conn) (getty.Preface, error) { return getty.Preface{}, err }
	}
	for name, tc := range map[string]struct {
		said      string
		cfg       getty.Config
		preface   func(net.Conn) (getty.Preface, error)
		configure error
		how       func(*getty.Server[string], net.Listener) error
		kind      string
	}{
		"TLS garbage":         {said: "garbage\r\n\r\n", how: (*getty.Server[string]).ServeTLS, kind: "handshake"},
		"TLS end":             {how: (*getty.Server[string]).ServeTLS, kind: "handshake"},
		"TLS cut":             {said: "\x16\x03\x01", how: (*getty.Server[string]).ServeTLS, kind: "handshake"},
		"WebSocket garbage":   {said: "garbage\r\n\r\n", how: anyPath, kind: "handshake"},
		"WebSocket end":       {how: anyPath, kind: "handshake"},
		"compression garbage": {said: "garbage\r\n\r\n", cfg: getty.Config{Compression: getty.CompressZstd}, kind: "compression"},
		"preface":             {preface: failing(errTest), kind: "handshake"},
		"preface end":         {preface: failing(io.EOF), kind: "handshake"},
		"preface panic":       {preface: func(net.Conn) (getty.Preface, error) { panic(io.EOF) }, kind: "panic"},
		"Configure":           {configure: errTest, kind: "error"},
		"Configure end":       {configure: io.EOF, kind: "eof"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				tc.cfg.TLS = serverTLS()
				srv, err := getty.NewServer(codec.Line{}, echo, tc.cfg)
				must(t, err)
				srv.Configure = func(*session, *setup) error { return tc.configure }
				l, err := n.Listen("server:1")
				must(t, err)
				w := wrapper{Listener: l}
				if tc.preface != nil {
					w.wrap = func(nc net.Conn) net.Conn { return prefaced{nc, tc.preface} }
				}
				if tc.how == nil {
					tc.how = (*getty.Server[string]).Serve
				}
				go func() { _ = tc.how(srv, w) }()
				nc, err := n.Dial(t.Context(), "tcp", "server:1")
				must(t, err)
				_, _ = io.WriteString(nc, tc.said)
				_ = nc.(*gettytest.Conn).CloseWrite()
				synctest.Wait()
				if got := srv.Stats(); got.Refusals[tc.kind] != 1 || got.Failed != 1 {
					t.Errorf("it is counted as %v, want %q", got.Refusals, tc.kind)
				}
				_ = nc.Close()
				must(t, srv.Shutdown(t.Context()))
			})
		})
	}
}

func anyPath(s *getty.Server[string], l net.Listener) error { return s.ServeWebSocket(l, "") }
