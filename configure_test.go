// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// TestConfigureFails: an error ends the session without OnOpen and OnClose, and
// is told to the observer. The endpoint goes on.
func TestConfigureFails(t *testing.T) {
	for name, configure := range map[string]func(*session, *setup) error{
		"error": func(*session, *setup) error { return errTest },
		"cause": func(s *session, _ *setup) error { s.CloseWithCause(errTest); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				b := newSaboteur("", nil)
				ep, nc := open(t, spec{events: b.recorder, configure: configure, cfg: getty.Config{Observer: b}})
				_, _ = io.Copy(io.Discard, nc)
				nc.Close()
				wantCause(t, receive(t, b.failed, "ConnFailed"), errTest)
				finish(t, ep)
				if st := ep.Stats(); st.Failed != 1 || st.Opened != 0 || st.Closed != 0 || st.Sessions != 0 {
					t.Errorf("stats are %+v", st)
				}
				if len(b.opened) > 0 {
					t.Error("OnOpen was called")
				}
				wantNoMore(t, b.recorder)
			})
		})
	}
}

// TestConfigureErrorReachesTheDialer, who counts it as a failure to connect.
func TestConfigureErrorReachesTheDialer(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		c := pooled(t, url, record(), getty.ClientConfig{MaxFailures: 1})
		c.Configure = func(*session, *setup) error { return errTest }
		if err := c.Connect(within(t)); !errors.Is(err, getty.ErrGaveUp) || !errors.Is(err, errTest) {
			t.Errorf("Connect: %v", err)
		}
		if st := c.Stats(); st.Dials != 1 || st.DialFailures != 1 || st.Failed != 1 {
			t.Errorf("stats are %+v", st)
		}
	})
}

// TestConfigureChecksItsSetup like any other configuration.
func TestConfigureChecksItsSetup(t *testing.T) {
	for field, spoil := range map[string]func(u *setup){
		"Setup.Events":             func(u *setup) { u.Events = nil },
		"codec":                    func(u *setup) { u.Codec = nil },
		"Setup.MaxMessageSize":     func(u *setup) { u.MaxMessageSize = -1 },
		"Setup.LowWatermark":       func(u *setup) { u.LowWatermark = u.HighWatermark + 1 },
		"Setup.Backpressure":       func(u *setup) { u.Backpressure = 99 },
		"Setup.IdleTimeout":        func(u *setup) { u.IdleTimeout = 1 },
		"Setup.MessageTimeout":     func(u *setup) { u.MessageTimeout = -1 },
		"Setup.WriteTimeout":       func(u *setup) { u.WriteTimeout = -1 },
		"Setup.CloseTimeout":       func(u *setup) { u.CloseTimeout = 1 },
		"Setup.CronPeriod":         func(u *setup) { u.CronPeriod = time.Microsecond },
		"Setup.Keepalive.Interval": func(u *setup) { u.Keepalive.Interval = 1 },
		"Setup.Keepalive.Misses":   func(u *setup) { u.Keepalive.Interval, u.Keepalive.Misses = time.Second, 2000 },
	} {
		t.Run(field, func(t *testing.T) {
			b := newSaboteur("", nil)
			configure := func(_ *session, u *setup) error { spoil(u); return nil }
			ep, nc := dialRaw(t, transports[0], spec{events: b.recorder, configure: configure, cfg: getty.Config{Observer: b}})
			_, _ = io.Copy(io.Discard, nc)
			err := receive(t, b.failed, "ConnFailed")
			if ce := (*getty.ConfigError)(nil); !errors.As(err, &ce) || ce.Field != field {
				t.Errorf("error is %v, want a *ConfigError about %s", err, field)
			}
			finish(t, ep)
			wantNoMore(t, b.recorder)
		})
	}
}

// TestConfigureSeesTheConn exactly as it is, with the handshake done.
func TestConfigureSeesTheConn(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		seen, transport := make(chan string, 1), ""
		_, nc := open(t, spec{events: record(), configure: func(s *session, _ *setup) error {
			transport = s.Transport()
			switch c := s.NetConn().(type) {
			case *net.TCPConn:
				seen <- "tcp"
			case *net.UnixConn:
				seen <- "unix"
			case *tls.Conn:
				if !c.ConnectionState().HandshakeComplete {
					t.Error("the handshake is not complete")
				}
				seen <- "tls"
			default:
				t.Errorf("NetConn is a %T", c)
				seen <- "?"
			}
			return nil
		}})
		below := map[string]string{"ws": "tcp", "wss": "tls"}
		if kind := receive(t, seen, "Configure"); kind != cmp.Or(below[transport], transport) {
			t.Errorf("NetConn is of %s, the transport is %q", kind, transport)
		}
		nc.Close()
	})
}

// TestConfigureIsBeforeTheSession: sending fails there, values stay, nothing is
// read, and the session is not listed.
func TestConfigureIsBeforeTheSession(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		r, entered, leave := record(), make(chan struct{}, 1), newGate(t)
		var decoded atomic.Int64
		ep, nc := open(t, spec{events: r, configure: func(s *session, u *setup) error {
			s.SetValue("key", "value")
			for _, err := range []error{s.Send("x"), s.TrySend("x"), s.SendContext(t.Context(), "x"), s.SendFrame(t.Context(), []byte("x\n"))} {
				if !errors.Is(err, getty.ErrNotOpen) || !getty.SafeToRetry(err) {
					t.Errorf("sending in Configure: %v", err)
				}
			}
			u.Codec = &hooked{onDecode: func([]byte) error { decoded.Add(1); return nil }}
			entered <- struct{}{}
			leave.wait()
			if n := decoded.Load(); n > 0 {
				t.Errorf("%d messages decoded in Configure", n)
			}
			return nil
		}})
		receive(t, entered, "Configure")
		write(t, nc, "message\n")
		for s := range ep.Sessions() {
			t.Errorf("session %d is listed", s.ID())
		}
		if st := ep.Stats(); st.Sessions != 0 || st.Opening != 1 {
			t.Errorf("stats are %+v", st)
		}
		leave.open()
		if got := receive(t, r.messages, "message"); got != "message" {
			t.Errorf("message is %q", got)
		}
		if v := receive(t, r.opened, "OnOpen").Value("key"); v != "value" {
			t.Errorf("the value is %v", v)
		}
		if decoded.Load() == 0 {
			t.Error("the codec of Configure was not used")
		}
		nc.Close()
		wantEnd(t, r, io.EOF)
	})
}

// semicolons is a codec of another kind.
type semicolons struct{ codec.Line }

func (semicolons) Decode(data []byte) (string, int, error) {
	if msg, _, ok := strings.Cut(string(data), ";"); ok {
		return msg, len(msg) + 1, nil
	}
	return "", 0, nil
}

func (semicolons) Append(dst []byte, msg string) ([]byte, error) {
	return append(append(dst, msg...), ';'), nil
}

// TestConfigureChangesOneSession: codec, listener and limits of its own, while
// others keep those of the server.
func TestConfigureChangesOneSession(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		var own atomic.Bool
		common, special := record(), record()
		for _, r := range []*recorder{common, special} {
			r.onMessage = func(s *session, m string) error { return s.Send(m) }
		}
		_, url := serve(t, tr, common, getty.Config{}, func(srv *getty.Server[string]) {
			srv.Configure = func(_ *session, u *setup) error {
				if own.Load() {
					u.Codec, u.Events, u.MaxMessageSize = semicolons{}, special, 10
					u.CronPeriod = time.Millisecond
				}
				return nil
			}
		})
		first := peer(t, url)
		ask(t, first, "before")
		own.Store(true)
		nc := asWritten(peer(t, url))
		write(t, nc, "a\n;b;")
		halves := make([]byte, len("a\n;b;"))
		_, err := io.ReadFull(nc, halves)
		must(t, err)
		if string(halves) != "a\n;b;" {
			t.Errorf("answer is %q", halves)
		}
		receive(t, special.crons, "OnCron")
		write(t, nc, "longer than ten bytes;")
		readAll(t, nc)
		nc.Close()
		wantEnd(t, special, getty.ErrMessageTooLong)
		ask(t, first, "longer than ten bytes")
		if len(common.crons)+len(common.closed) > 0 || len(common.opened) != 1 {
			t.Error("the listener of the server has seen events of the special session")
		}
	})
}

// TestConfigureSetsTheKeepalive with the codec of the session.
func TestConfigureSetsTheKeepalive(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		r := record()
		_, nc := open(t, spec{events: r, configure: func(_ *session, u *setup) error {
			u.Codec = semicolons{}
			u.Keepalive.Interval = time.Millisecond
			return u.SetKeepalive("ping")
		}})
		want := make([]byte, len("ping;"))
		_, err := io.ReadFull(nc, want)
		must(t, err)
		if string(want) != "ping;" {
			t.Errorf("keepalive is %q", want)
		}
		wantEnd(t, r, getty.ErrKeepalive)
	})
}

// otherLines is another codec, of another type.
type otherLines struct {
	codec.Line
	marker string
}

func (o *otherLines) Append(dst []byte, msg string) ([]byte, error) {
	return o.Line.Append(dst, o.marker+msg)
}

// A session may be prepared for by others while Configure still chooses its codec.
func TestPrepareDuringConfigure(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		cfg := getty.Config{}
		cfg.WebSocket.Deflate.Enabled = true
		fresh, stop := make(chan *session, 1), make(chan struct{})
		var others sync.WaitGroup
		others.Go(func() {
			var s *session
			for {
				select {
				case <-stop:
					return
				case s = <-fresh:
				default:
				}
				if s == nil {
					runtime.Gosched()
					continue
				}
				if p, err := s.Prepare("message"); err == nil {
					_ = s.SendPrepared(s.Context(), p)
				}
			}
		})
		r := record()
		_, url := serve(t, tr, r, cfg, func(srv *getty.Server[string]) {
			srv.Configure = func(s *session, u *setup) error {
				select {
				case fresh <- s:
				default:
				}
				runtime.Gosched()
				u.Codec, u.Deflate = &otherLines{marker: "."}, false
				return nil
			}
		})
		for range 20 {
			s := dial(t, url, echo, cfg)
			must(t, s.Send("hello"))
			receive(t, r.messages, "message")
			_ = s.Close()
		}
		close(stop)
		others.Wait()
	})
}

// Of some messages nothing is left when they are marshalled. With boundaries of
// the transport's they arrive, unless the framing of the codec has its own.
func TestMarshalledToNothing(t *testing.T) {
	plain := func(frame codec.Framing) codec.Marshal[string] {
		return codec.Marshal[string]{
			Frame:     frame,
			Marshal:   func(dst []byte, m string) ([]byte, error) { return append(dst, m...), nil },
			Unmarshal: func(data []byte) (string, error) { return string(data), nil },
		}
	}
	eachTransport(t, func(t *testing.T, tr transport) {
		if tr.name != "udp" && !isWebSocket(tr) {
			t.Skip("a stream has no empty messages")
		}
		for _, frame := range []codec.Framing{codec.Raw{}, codec.Varint{}} {
			r := record()
			_, url := serve(t, tr, r, getty.Config{}, func(srv *getty.Server[string]) { srv.Configure = with(plain(frame)) })
			s, err := getty.Dial(within(t), url, plain(frame), echo, getty.Config{TLS: clientTLS()})
			must(t, err)
			for _, want := range []string{"", "something", ""} {
				must(t, s.Send(want))
				if got := receive(t, r.messages, "message"); got != want {
					t.Errorf("%T: got %q, want %q", frame, got, want)
				}
			}
			must(t, s.Close())
		}
		r := record()
		srv, url := serve(t, tr, r, getty.Config{}, func(srv *getty.Server[string]) { srv.Configure = with(plain(codec.Varint{})) })
		nothing, err := getty.Dial(within(t), url, plain(codec.Raw{}), echo, getty.Config{TLS: clientTLS()})
		must(t, err)
		must(t, nothing.Send("\x03abc"))
		must(t, nothing.Send(""))
		must(t, nothing.Send("\x03def"))
		for _, want := range []string{"abc", "def"} {
			if got := receive(t, r.messages, "message"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		must(t, nothing.Close())
		finish(t, srv)
	})
}
