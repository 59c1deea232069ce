// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// setting is a field with a range. Values are of its own type, but for Policy
// they are given as what they are made of.
type setting struct {
	field     string
	good      []int64 // both ends of the range, and 0
	bad       []int64 // just beyond
	want      string  // the range, in the error
	alongside func(cfg *getty.ClientConfig)
}

const milli = int64(time.Millisecond)

func sizeSetting(field string, least, most int64, name string) setting {
	return setting{field: field, good: []int64{0, least, most}, bad: []int64{least - 1, most + 1, -1, math.MinInt32}, want: name}
}

func optionalSetting(field string) setting {
	return setting{field: field, good: []int64{0, milli, math.MaxInt64}, bad: []int64{-1, 1, milli - 1, math.MinInt64}, want: "0 or 1ms or more"}
}

func durationSetting(field string) setting {
	return setting{field: field, good: []int64{0, milli, math.MaxInt64}, bad: []int64{-1, 1, milli - 1, math.MinInt64}, want: "want 1ms or more"}
}

const int32s = "1 to 2147483647"

// sessionSettings are the fields of Config that Setup has, too.
var sessionSettings = []setting{
	sizeSetting("MaxMessageSize", 1, math.MaxInt32, int32s),
	sizeSetting("HighWatermark", 1, math.MaxInt32, int32s),
	sizeSetting("LowWatermark", 1, getty.DefaultHighWatermark, fmt.Sprint("1 to ", getty.DefaultHighWatermark)),
	{field: "Backpressure", good: []int64{0, 1, 2, 3}, bad: []int64{4, 255}, want: "0 to 3"},
	optionalSetting("IdleTimeout"),
	optionalSetting("MessageTimeout"),
	durationSetting("WriteTimeout"),
	durationSetting("CloseTimeout"),
	optionalSetting("CronPeriod"),
	optionalSetting("Keepalive.Interval"),
	sizeSetting("Keepalive.Misses", 0, 1000, "0 to 1000"),
	optionalSetting("Limits.FirstMessageTimeout"),
	sizeSetting("Limits.MinRate", 0, math.MaxInt32, "0 to 2147483647"),
	sizeSetting("Limits.Messages.PerSecond", 0, 1e9, "0 to 1000000000"),
	sizeSetting("Limits.Messages.Burst", 0, 1e9, "0 to 1000000000"),
	sizeSetting("Limits.Bytes.PerSecond", 0, 1e9, "0 to 1000000000"),
	sizeSetting("Limits.Bytes.Burst", 0, 1e9, "0 to 1000000000"),
	sizeSetting("Limits.MaxExpansion", 0, 1e6, "0 to 1000000"),
}

// endpointSettings are the other fields of Config.
var endpointSettings = []setting{
	{
		field: "UserTimeout", good: []int64{0, milli, math.MaxInt32 * milli}, bad: []int64{-1, 1, milli - 1, math.MaxInt32*milli + 1},
		want: "want 0, or 1ms to 596h31m23.647s",
	},
	durationSetting("HandshakeTimeout"),
	durationSetting("DrainTimeout"),
	optionalSetting("DrainDelay"),
	durationSetting("GracePeriod"),
	{field: "Compression", good: []int64{0, 1, 2, 3, 0x81, 0x82, 0x83}, bad: []int64{4, 0x80, 0x84, 255}, want: "one of the constants, or Raw of one"},
	sizeSetting("Workers", 0, 1<<16, "0 to 65536"),
	{field: "WebSocket.MessageType", good: []int64{0, 1, 2}, bad: []int64{3, 255}, want: "0 to 2"},
	sizeSetting("WebSocket.MaxHeaderBytes", 256, 1<<20, "256 to 1048576"),
	sizeSetting("WebSocket.Deflate.WindowBits", 8, 15, "8 to 15"),
	sizeSetting("UDP.MaxSessions", 1, math.MaxInt32, int32s),
	sizeSetting("UDP.MaxPacketSize", 1, 65535, "1 to 65535"),
	sizeSetting("UDP.QueueSize", 1, math.MaxInt32, int32s),
	sizeSetting("UDP.Batch", 1, 64, "1 to 64"),
}

// serverSettings are those of Config that only servers have.
var serverSettings = []setting{
	sizeSetting("MaxSessions", 0, math.MaxInt32, "0 to 2147483647"),
	sizeSetting("MaxSessionsPerAddr", 0, math.MaxInt32, "0 to 2147483647"),
	sizeSetting("Guard.Accepts.PerSecond", 0, 1e9, "0 to 1000000000"),
	sizeSetting("Guard.Accepts.Burst", 0, 1e9, "0 to 1000000000"),
	sizeSetting("Guard.AcceptsPerPrefix.PerSecond", 0, 1e9, "0 to 1000000000"),
	sizeSetting("Guard.AcceptsPerPrefix.Burst", 0, 1e9, "0 to 1000000000"),
	sizeSetting("Guard.MaxSessionsPerPrefix", 0, math.MaxInt32, "0 to 2147483647"),
	sizeSetting("Guard.IPv4Prefix", 0, 32, "0 to 32"),
	sizeSetting("Guard.IPv6Prefix", 0, 128, "0 to 128"),
}

// clientSettings are those of ClientConfig.
var clientSettings = []setting{
	sizeSetting("PoolSize", 1, 1<<16, "1 to 65536"),
	durationSetting("DialTimeout"),
	durationSetting("StablePeriod"),
	durationSetting("Spread"),
	{
		field: "Backoff.Min", good: []int64{0, milli, int64(time.Hour)}, bad: []int64{-1, 1, milli - 1}, want: "want 1ms or more",
		alongside: func(cfg *getty.ClientConfig) { cfg.Backoff.Max = time.Hour },
	},
	{
		field: "Backoff.Max", good: []int64{0, int64(time.Second), math.MaxInt64}, bad: []int64{-1, 1, int64(time.Second) - 1}, want: "Backoff.Min (1s) or more",
		alongside: func(cfg *getty.ClientConfig) { cfg.Backoff.Min = time.Second },
	},
	sizeSetting("MaxFailures", 0, math.MaxInt32, "0 to 2147483647"),
}

// withoutRange are the fields of which every value is allowed, or checked elsewhere.
var withoutRange = []string{
	"Config", "Codec", "Events", "Keepalive.Frame", "Executor", "TLS", "Control", "Logger", "Observer",
	"Dial", "OnReconnect", "OnGiveUp", "UDP.NoOffload", "Guard.Access", "Limits.Throttle", "Deflate",
	"WebSocket.Subprotocols", "WebSocket.Origins", "WebSocket.CheckOrigin", "WebSocket.Header", "WebSocket.Proxy",
	"WebSocket.Deflate.Enabled", "WebSocket.Deflate.ContextTakeover",
}

// setField puts n into the field of *v.
func setField(v any, field string, n int64) {
	f := reflect.ValueOf(v).Elem()
	for name := range strings.SplitSeq(field, ".") {
		f = f.FieldByName(name)
	}
	if f.CanUint() {
		f.SetUint(uint64(n))
		return
	}
	f.SetInt(n)
}

// fieldsOf lists the fields of a struct, with those of structs within it.
func fieldsOf(t reflect.Type, prefix string) (names []string) {
	for f := range t.Fields() {
		name := prefix + f.Name
		if f.Type.Kind() == reflect.Struct && f.Type.PkgPath() != "" && !f.Anonymous {
			names = append(names, fieldsOf(f.Type, name+".")...)
			continue
		}
		names = append(names, name)
	}
	return names
}

// A field that is added later must be added to the tables above.
func TestG9EveryFieldIsTested(t *testing.T) {
	known := slices.Clone(withoutRange)
	for _, s := range slices.Concat(sessionSettings, endpointSettings, serverSettings, clientSettings) {
		known = append(known, s.field)
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[getty.Config](), reflect.TypeFor[getty.ClientConfig](), reflect.TypeFor[setup](),
	} {
		for _, field := range fieldsOf(typ, "") {
			if !slices.Contains(known, field) {
				t.Errorf("%v.%s is in no table", typ, field)
			}
		}
	}
}

// receivers are the calls that receive a configuration.
var receivers = []struct {
	name, prefix string
	client       bool // takes the whole of ClientConfig
	call         func(t testing.TB, cfg getty.ClientConfig) error
}{
	{"NewServer", "Config", false, func(t testing.TB, cfg getty.ClientConfig) error {
		srv, err := getty.NewServer(codec.Line{}, echo, cfg.Config)
		if (srv == nil) != (err != nil) {
			t.Errorf("NewServer returned a server: %t, and the error %v", srv != nil, err)
		}
		return err
	}},
	{"NewClient", "ClientConfig", true, func(t testing.TB, cfg getty.ClientConfig) error {
		c, err := getty.NewClient("tcp://127.0.0.1:1", codec.Line{}, echo, cfg)
		if (c == nil) != (err != nil) {
			t.Errorf("NewClient returned a client: %t, and the error %v", c != nil, err)
		}
		return err
	}},
	{"Dial", "Config", false, func(t testing.TB, cfg getty.ClientConfig) error {
		// Nothing is dialed: a good configuration is seen by the call that it makes.
		reached := errors.New("reached the network")
		cfg.Control = func(string, string, syscall.RawConn) error { return reached }
		_, err := getty.Dial(within(t), "tcp://127.0.0.1:1", codec.Line{}, echo, cfg.Config)
		if errors.Is(err, reached) {
			return nil
		}
		return err
	}},
}

// D46, D47: not a panic, not silence, not another unit.
func TestD46ValuesOutOfRangeAreErrors(t *testing.T) {
	for _, r := range receivers {
		settings := slices.Concat(sessionSettings, endpointSettings)
		if r.client {
			settings = append(settings, clientSettings...)
		}
		if r.name == "NewServer" {
			settings = append(settings, serverSettings...)
		}
		for _, s := range settings {
			t.Run(r.name+"/"+s.field, func(t *testing.T) {
				try := func(n int64) error {
					var cfg getty.ClientConfig
					if s.alongside != nil {
						s.alongside(&cfg)
					}
					setField(&cfg, s.field, n)
					return r.call(t, cfg)
				}
				for _, n := range s.good {
					if err := try(n); err != nil {
						t.Errorf("%d is refused: %v", n, err)
					}
				}
				for _, n := range s.bad {
					if !slices.Contains(s.good, n) {
						checkConfigError(t, try(n), r.prefix+"."+s.field, s.want)
					}
				}
			})
		}
	}
}

// checkConfigError looks for the name of the field and its range.
func checkConfigError(t testing.TB, err error, field, want string) {
	t.Helper()
	var ce *getty.ConfigError
	switch {
	case !errors.As(err, &ce):
		t.Errorf("the error is %v, want a ConfigError of %s", err, field)
	case ce.Field != field || !strings.Contains(ce.Problem, want):
		t.Errorf("the error is %q of %q, want %q and %q", ce.Problem, ce.Field, field, want)
	case !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), want):
		t.Errorf("the error says %q, want field and range", err)
	}
}

// D46: what Configure sets is checked, too, and fails the attempt to connect.
func TestD46SetupOutOfRangeIsAnError(t *testing.T) {
	for _, s := range sessionSettings {
		t.Run(s.field, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, n := range s.good {
					if err := setUp(t, func(u *setup) { setField(u, s.field, n) }); err != nil {
						// The watermarks depend on each other, and come filled in.
						if s.field == "HighWatermark" && n == 1 {
							checkConfigError(t, err, "Setup.LowWatermark", "1 to 1")
							continue
						}
						t.Errorf("%d is refused: %v", n, err)
					}
				}
				for _, n := range s.bad {
					if !slices.Contains(s.good, n) {
						checkConfigError(t, setUp(t, func(u *setup) { setField(u, s.field, n) }), "Setup."+s.field, s.want)
					}
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		checkConfigError(t, setUp(t, func(u *setup) { u.Codec = nil }), "codec", "nil")
		checkConfigError(t, setUp(t, func(u *setup) { u.Events = nil }), "Setup.Events", "nil")
		if err := setUp(t, func(u *setup) { u.Codec = picky{} }); !errors.Is(err, errPicky) {
			t.Errorf("the codec's own error is %v", err)
		}
	})
}

// setUp connects once with what change makes of the setup.
func setUp(t testing.TB, change func(u *setup)) error {
	c := pooled(t, "tcp://service:1", echo, getty.ClientConfig{MaxFailures: 1, Dial: dialing(answerPipe).dial})
	c.Configure = func(_ *session, u *setup) error {
		change(u)
		return nil
	}
	defer c.Close()
	return c.Connect(t.Context())
}

// picky is a codec that Validate says something about.
type picky struct{ codec.Line }

var errPicky = errors.New("no such field")

func (picky) Validate() error { return errPicky }

func TestD46PartsAreChecked(t *testing.T) {
	server := func(c getty.Codec[string], e getty.EventListener[string]) error {
		_, err := getty.NewServer(c, e, getty.Config{})
		return err
	}
	client := func(c getty.Codec[string], e getty.EventListener[string]) error {
		_, err := getty.NewClient("tcp://127.0.0.1:1", c, e, getty.ClientConfig{})
		return err
	}
	dialed := func(c getty.Codec[string], e getty.EventListener[string]) error {
		_, err := getty.Dial(within(t), "tcp://127.0.0.1:1", c, e, getty.Config{})
		return err
	}
	for i, call := range []func(getty.Codec[string], getty.EventListener[string]) error{server, client, dialed} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			checkConfigError(t, call(nil, echo), "codec", "nil")
			checkConfigError(t, call(codec.Line{}, nil), "events", "nil")
			if err := call(picky{}, echo); !errors.Is(err, errPicky) {
				t.Errorf("the codec's own error is %v", err)
			}
		})
	}
}

type executor struct{}

func (executor) Submit(task func()) error { task(); return nil }

func TestD46FieldsThatDependOnEachOther(t *testing.T) {
	for _, tc := range []struct {
		name        string
		cfg         getty.Config
		field, want string // empty: allowed
	}{
		{"low above high", getty.Config{HighWatermark: 100, LowWatermark: 101}, "LowWatermark", "1 to 100"},
		{"low at high", getty.Config{HighWatermark: 100, LowWatermark: 100}, "", ""},
		{"highest of 1", getty.Config{HighWatermark: 1}, "", ""},
		{"low above the default", getty.Config{LowWatermark: getty.DefaultHighWatermark + 1}, "LowWatermark", fmt.Sprint("1 to ", getty.DefaultHighWatermark)},
		{"workers and executor", getty.Config{Workers: 1, Executor: executor{}}, "Executor", "Workers"},
		{"executor alone", getty.Config{Executor: executor{}}, "", ""},
		{"misses without an interval", getty.Config{Keepalive: getty.Keepalive{Misses: 3}}, "", ""},
	} {
		for _, r := range receivers {
			t.Run(tc.name+"/"+r.name, func(t *testing.T) {
				err := r.call(t, getty.ClientConfig{Config: tc.cfg})
				if tc.field == "" {
					must(t, err)
					return
				}
				checkConfigError(t, err, r.prefix+"."+tc.field, tc.want)
			})
		}
	}
	_, err := getty.NewClient("tcp://127.0.0.1:1", codec.Line{}, echo, getty.ClientConfig{Backoff: getty.Backoff{Min: time.Hour}})
	must(t, err) // the default of Max follows
}

// D47: a duration is a duration: what is meant to be seconds is an error, not nanoseconds.
func TestD47NumbersWithoutAUnitAreErrors(t *testing.T) {
	for _, s := range slices.Concat(sessionSettings, endpointSettings, serverSettings, clientSettings) {
		var cfg getty.ClientConfig
		f := reflect.ValueOf(&cfg).Elem()
		for name := range strings.SplitSeq(s.field, ".") {
			f = f.FieldByName(name)
		}
		if f.Type() != reflect.TypeFor[time.Duration]() {
			if name := strings.ToLower(s.field); strings.Contains(name, "time") || strings.Contains(name, "period") {
				t.Errorf("%s is a %v", s.field, f.Type())
			}
			continue
		}
		f.SetInt(30)
		if _, err := getty.NewClient("tcp://127.0.0.1:1", codec.Line{}, echo, cfg); err == nil {
			t.Errorf("%s takes 30 ns for a time", s.field)
		}
	}
}

// What is changed after the call that received it changes nothing.
func TestG9ConfigurationIsCopied(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		frame := []byte("alive\n")
		cfg := getty.Config{
			TLS:       serverTLS(),
			Keepalive: getty.Keepalive{Interval: time.Millisecond, Misses: 1000, Frame: frame},
		}
		srv, err := getty.NewServer(codec.Line{}, echo, cfg)
		must(t, err)
		t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
		copy(frame, "WRONG\n")
		cfg.TLS.Certificates = nil
		cfg.TLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errNoService }
		must(t, srv.Listen(tr.url(t)))

		r := record()
		ccfg := getty.ClientConfig{Config: getty.Config{TLS: clientTLS()}}
		c := pooled(t, srv.URLs()[0], r, ccfg)
		ccfg.TLS.RootCAs, ccfg.TLS.ServerName = nil, "elsewhere"
		must(t, c.Connect(within(t)))
		if got := receive(t, r.messages, "keepalive"); got != "alive" {
			t.Fatalf("the keepalive is %q", got)
		}
	})
}

// The zero value is useful: its defaults are the documented ones.
func TestG9DefaultsInSetup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got setup
		must(t, setUp(t, func(u *setup) { got = *u }))
		want := setup{
			Codec: got.Codec, Events: got.Events,
			MaxMessageSize: getty.DefaultMaxMessageSize,
			HighWatermark:  getty.DefaultHighWatermark, LowWatermark: getty.DefaultHighWatermark / 2,
			WriteTimeout: getty.DefaultWriteTimeout, CloseTimeout: getty.DefaultCloseTimeout,
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("the setup is\n%+v, want\n%+v", got, want)
		}
	})
}

// What Configure sets for one session holds for that one.
func TestG9SetupOfOneSessionIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sv := dialing(func(context.Context, *service) (net.Conn, error) {
			return answerLine("123456789\n")(nil, nil)
		})
		r := record()
		c := pooled(t, "tcp://service:1", r, getty.ClientConfig{PoolSize: 2, Dial: sv.dial})
		c.Configure = func(s *session, u *setup) error {
			if s.ID() == 1 {
				u.MaxMessageSize = 4
			}
			return nil
		}
		c.Reconnect = func(*session, error) bool { return false }
		_, err := c.Session(t.Context())
		must(t, err)
		if cause := receive(t, r.closed, "OnClose"); !errors.Is(cause, getty.ErrMessageTooLong) {
			t.Fatalf("the cause is %v", cause)
		}
		receive(t, r.messages, "message of the other session")
		if st := c.State(); st.Live != 1 {
			t.Fatalf("the pool is %+v", st)
		}
	})
}
