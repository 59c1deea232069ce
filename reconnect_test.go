// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// Everything here runs in the virtual time of synctest: a pause lasts exactly
// as long as it says, and between two pauses no time passes.

func TestG7PausesGrowAndAreJittered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, rounds = 20, 12
		var services [clients]*service
		for i := range services {
			services[i] = dialing(answerError)
			c := pooled(t, "tcp://service:1", record(), getty.ClientConfig{Dial: services[i].dial})
			go func() { _ = c.Connect(t.Context()) }()
		}
		time.Sleep(2 * time.Minute)
		firsts, lasts := make(map[time.Duration]bool), make(map[time.Duration]bool)
		for _, sv := range services {
			ps := sv.pauses(t, 1)
			for i := range rounds {
				checkPause(t, i+1, ps[i], 0)
			}
			firsts[ps[0]], lasts[ps[rounds-1]] = true, true
			if sv.at[0] != 0 {
				t.Errorf("the first dial came after %v", sv.at[0])
			}
		}
		if len(firsts) < clients/2 || len(lasts) < clients/2 {
			t.Fatalf("%d clients came back after %v, and at last after %v", clients, firsts, lasts)
		}
	})
}

// badServices never give a session that lasts. Each attempt is a failure.
var badServices = []struct {
	name      string
	url       string
	answer    answer
	events    funcs
	configure func(*session, *setup) error
	slack     time.Duration // that an attempt takes by itself
}{
	{name: "D15 refused", answer: answerError},
	{name: "D15 no answer", answer: answerNever, slack: getty.DefaultDialTimeout},
	{name: "D15 dial panics", answer: func(context.Context, *service) (net.Conn, error) { panic("dial") }},
	{name: "D15 dial exits", answer: func(context.Context, *service) (net.Conn, error) { runtime.Goexit(); return nil, nil }},
	{name: "D15 dial gives nothing", answer: func(context.Context, *service) (net.Conn, error) { return nil, nil }},
	{name: "D16 accepted and closed", answer: answerEOF},
	{name: "D16 no handshake", url: "tls://service:1", answer: answerPipe, slack: getty.DefaultHandshakeTimeout},
	{name: "D16 closed in the handshake", url: "tls://service:1", answer: answerEOF},
	{name: "D16 no TLS", url: "tls://service:1", answer: answerLine("SSH-2.0-OpenSSH\r\n")},
	{name: "D19 OnOpen fails", answer: answerPipe, events: funcs{Open: func(*session) error { return io.ErrNoProgress }}},
	{name: "D19 OnOpen panics", answer: answerPipe, events: funcs{Open: func(*session) error { panic("open") }}},
	{name: "D19 OnOpen exits", answer: answerPipe, events: funcs{Open: func(*session) error { runtime.Goexit(); return nil }}},
	{name: "D19 OnOpen closes", answer: answerPipe, events: funcs{Open: func(s *session) error { return s.Close() }}},
	{name: "D19 Configure fails", answer: answerPipe, configure: func(*session, *setup) error { return io.ErrNoProgress }},
	{name: "D19 Configure panics", answer: answerPipe, configure: func(*session, *setup) error { panic("configure") }},
	{name: "D19 Configure exits", answer: answerPipe, configure: func(*session, *setup) error { runtime.Goexit(); return nil }},
	{name: "D19 Configure out of range", answer: answerPipe, configure: func(_ *session, u *setup) error { u.MaxMessageSize = -1; return nil }},
	{name: "D19 OnMessage fails", answer: answerLine("hi\n"), events: funcs{Message: func(*session, string) error { return io.ErrNoProgress }}},
	{name: "D19 OnMessage panics", answer: answerLine("hi\n"), events: funcs{Message: func(*session, string) error { panic("message") }}},
	{name: "D19 OnClose panics", answer: answerEOF, events: funcs{Close: func(*session, error) { panic("close") }}},
	{name: "D19 OnClose exits", answer: answerEOF, events: funcs{Close: func(*session, error) { runtime.Goexit() }}},
	{name: "D19 message too long", answer: answerLine("longer than allowed\n")},
}

// eachBadService runs test with a client of each bad service.
func eachBadService(t *testing.T, cfg getty.ClientConfig, test func(t *testing.T, sv *service, c *getty.Client[string], slack time.Duration)) {
	for _, tc := range badServices {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sv := dialing(tc.answer)
				cfg := cfg
				cfg.Dial, cfg.MaxMessageSize = sv.dial, 8
				url := tc.url
				if url == "" {
					url = "tcp://service:1"
				}
				c := pooled(t, url, tc.events, cfg)
				c.Configure = tc.configure
				test(t, sv, c, tc.slack+getty.DefaultCloseTimeout)
			})
		})
	}
}

// D15, D16, D19: no failure of any kind makes a hot loop.
func TestD16EveryFailureBacksOff(t *testing.T) {
	const size = 2
	eachBadService(t, getty.ClientConfig{PoolSize: size}, func(t *testing.T, sv *service, c *getty.Client[string], slack time.Duration) {
		go func() { _ = c.Connect(t.Context()) }()
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		pauses := sv.pauses(t, size)
		for i, pause := range pauses {
			checkPause(t, i+1, pause, slack)
		}
		if len(pauses) < 10 {
			t.Fatalf("only %d attempts in 4 minutes", len(pauses))
		}
		if st := c.State(); st.Failures < len(pauses) || st.LastError == nil {
			t.Fatalf("after %d failed rounds the pool is %+v", len(pauses), st)
		}
	})
}

// D15: the limit counts failed rounds, and the end of trying is an event.
func TestD15ClientGivesUpOnce(t *testing.T) {
	const size, rounds = 2, 4
	var gaveUp atomic.Int64
	cfg := getty.ClientConfig{PoolSize: size, MaxFailures: rounds, OnGiveUp: func(err error) {
		if !errors.Is(err, getty.ErrGaveUp) {
			panic(err)
		}
		gaveUp.Add(1)
	}}
	eachBadService(t, cfg, func(t *testing.T, sv *service, c *getty.Client[string], _ time.Duration) {
		gaveUp.Store(0)
		_, err := c.Session(t.Context())
		for err == nil { // a session that was open for a moment
			_, err = c.Session(t.Context())
		}
		if !errors.Is(err, getty.ErrGaveUp) {
			t.Fatalf("the error is %v, want ErrGaveUp", err)
		}
		time.Sleep(time.Hour)
		if n := sv.dials(); n != size*rounds {
			t.Fatalf("%d dials for a limit of %d rounds of %d", n, rounds, size)
		}
		_, err = c.Session(t.Context())
		for _, err := range []error{err, c.Send(t.Context(), "x")} {
			if !errors.Is(err, getty.ErrGaveUp) || !strings.Contains(err.Error(), c.State().LastError.Error()) {
				t.Errorf("the error is %v, want ErrGaveUp and the last failure", err)
			}
		}
		st := c.State()
		if st.Failures != rounds || !st.GaveUp || st.Live != 0 || st.Dialing != 0 || gaveUp.Load() != 1 {
			t.Fatalf("the pool is %+v, OnGiveUp came %d times", st, gaveUp.Load())
		}
	})
}

func TestD15ConnectStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gaveUp := make(chan error, 16)
		sv := dialing(answerError)
		c := pooled(t, "tcp://service:1", record(), getty.ClientConfig{
			PoolSize: 2, MaxFailures: 3, Dial: sv.dial, OnGiveUp: func(err error) { gaveUp <- err },
		})
		for i := range 3 {
			if err := c.Connect(t.Context()); !errors.Is(err, getty.ErrGaveUp) || !errors.Is(err, errNoService) {
				t.Fatalf("the error is %v", err)
			}
			receive(t, gaveUp, "OnGiveUp")
			synctest.Wait() // for the rest of the last round
			if n := sv.dials(); n != (i+1)*2*3 {
				t.Fatalf("%d dials after giving up %d times", n, i+1)
			}
		}
		sv.becomes(answerPipe)
		must(t, c.Connect(t.Context()))
		if st := c.State(); st.GaveUp || st.Failures != 0 || st.Live != 2 {
			t.Fatalf("the pool is %+v", st)
		}
		// The stable session's end is no failure, what follows is.
		time.Sleep(getty.DefaultStablePeriod)
		sv.becomes(answerError)
		before := sv.dials()
		must(t, (<-sv.far).Close())
		receive(t, gaveUp, "OnGiveUp")
		if n := sv.dials() - before; n != 3 {
			t.Fatalf("%d dials for one slot and a limit of 3", n)
		}
		// What is left of the pool serves on.
		s, err := c.Session(t.Context())
		must(t, err)
		if st := c.State(); st.Live != 1 || !st.GaveUp || s.Context().Err() != nil || len(gaveUp) != 0 {
			t.Fatalf("the pool is %+v", st)
		}
	})
}

// D15: attempts of a later round that end after giving up are not another end,
// nor another failure, since they had begun before the first one was known.
func TestD15AttemptsUnderWayWhenGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gaveUp := make(chan error, 16)
		sv := dialing(answerPipe)
		c := connected(t, "tcp://service:1", record(), getty.ClientConfig{
			PoolSize: 2, MaxFailures: 1, Dial: sv.dial, OnGiveUp: func(err error) { gaveUp <- err },
		})
		time.Sleep(getty.DefaultStablePeriod)
		sv.becomes(answerNever)
		for range 2 {
			must(t, (<-sv.far).Close())
			time.Sleep(time.Second)
		}
		if st := c.State(); st.Dialing != 2 || st.GaveUp {
			t.Fatalf("the pool is %+v", st)
		}
		time.Sleep(time.Hour)
		if st := c.State(); !st.GaveUp || st.Failures != 1 || len(gaveUp) != 1 || sv.dials() != 4 {
			t.Fatalf("after %d dials OnGiveUp came %d times, the pool is %+v", sv.dials(), len(gaveUp), st)
		}
	})
}

// D15: in its time a limit of 3 ended a healthy client after 3 reconnects.
func TestD15SuccessesAreNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 8
		sv := dialing(answerPipe)
		c := connected(t, "tcp://service:1", record(), getty.ClientConfig{PoolSize: size, MaxFailures: 1, Dial: sv.dial})
		for i := range 10 * size {
			time.Sleep(getty.DefaultStablePeriod)
			must(t, (<-sv.far).Close())
			synctest.Wait()
			if st := c.State(); st.Live != size || st.Failures != 0 || st.GaveUp {
				t.Fatalf("after %d deaths the pool is %+v", i+1, st)
			}
		}
		if st := c.Stats(); st.Reconnects != 10*size || st.Dials != 11*size || st.DialFailures != 0 {
			t.Fatalf("the statistics are %+v", st)
		}
		for _, pause := range sv.pauses(t, 1)[size:] {
			if pause != getty.DefaultStablePeriod {
				t.Fatalf("pauses between dials: %v", sv.pauses(t, 1))
			}
		}
	})
}

// D16: the count starts anew only after a session has stayed for the period.
func TestD16FailuresAreForgottenAfterTheStablePeriod(t *testing.T) {
	for _, tc := range []struct {
		lives         time.Duration
		stable, looks bool
	}{
		{0, false, false},
		{getty.DefaultStablePeriod - 1, false, false},
		{getty.DefaultStablePeriod - 1, false, true},
		{getty.DefaultStablePeriod, true, false},
		{getty.DefaultStablePeriod, true, true},
		{time.Hour, true, false},
	} {
		t.Run(fmt.Sprint(tc.lives, " looks ", tc.looks), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sv := dialing(answerError)
				r := record()
				c := pooled(t, "tcp://service:1", r, getty.ClientConfig{Dial: sv.dial})
				go func() { _ = c.Connect(t.Context()) }()
				for sv.dials() < 4 {
					time.Sleep(time.Millisecond)
				}
				sv.becomes(answerPipe)
				s := receive(t, r.opened, "OnOpen")
				time.Sleep(tc.lives)
				if tc.looks {
					if st := c.State(); tc.stable != (st.Failures == 0) || st.Live != 1 {
						t.Fatalf("before its end the pool is %+v", st)
					}
				}
				sv.becomes(answerError)
				must(t, (<-sv.far).Close())
				<-s.Done()
				time.Sleep(time.Minute)
				pauses := sv.pauses(t, 1)
				if !tc.stable {
					checkPause(t, 5, pauses[4]-tc.lives, 0)
					return
				}
				if pauses[4] != tc.lives {
					t.Fatalf("the end of a stable session was followed by a pause of %v", pauses[4]-tc.lives)
				}
				checkPause(t, 1, pauses[5], 0)
			})
		})
	}
}

// D16: a server that takes three of four. The three say nothing about it.
func TestD16ServerAtItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var taken atomic.Int64
		sv := dialing(func(ctx context.Context, sv *service) (net.Conn, error) {
			if taken.Add(1) <= 3 {
				return answerPipe(ctx, sv)
			}
			return answerEOF(ctx, sv)
		})
		c := pooled(t, "tcp://service:1", record(), getty.ClientConfig{PoolSize: 4, Dial: sv.dial})
		_, err := c.Session(t.Context())
		must(t, err)
		time.Sleep(time.Hour)
		synctest.Wait()
		if st := c.State(); st.Live != 3 || st.Failures < 100 {
			t.Fatalf("the pool is %+v", st)
		}
		for i, pause := range sv.pauses(t, 1)[3:] {
			checkPause(t, i+1, pause, 0)
		}
	})
}

func TestOnReconnectComesBeforeTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		sv := dialing(answerError)
		cfg := getty.ClientConfig{PoolSize: 2, MaxFailures: 3, Dial: sv.dial}
		cfg.OnReconnect = func(failures int, err error) {
			before := sv.dials()
			time.Sleep(time.Second)
			if sv.dials() != before {
				t.Error("the attempt began before OnReconnect had returned")
			}
			told = append(told, fmt.Sprint(before, failures, err))
		}
		c := pooled(t, "tcp://service:1", record(), cfg)
		if err := c.Connect(t.Context()); !errors.Is(err, getty.ErrGaveUp) {
			t.Fatal(err)
		}
		synctest.Wait() // for the rest of the last round
		sv.becomes(answerPipe)
		must(t, c.Connect(t.Context()))
		time.Sleep(getty.DefaultStablePeriod)
		must(t, (<-sv.far).Close())
		receive(t, sv.far, "second far end")
		receive(t, sv.far, "far end of the session in the place of the lost one")
		synctest.Wait()
		want := []string{"2 1 " + fmt.Sprint(c1(errNoService)), "4 2 " + fmt.Sprint(c1(errNoService)), "8 0 EOF"}
		if fmt.Sprint(told) != fmt.Sprint(want) {
			t.Fatalf("OnReconnect was told %q, want %q", told, want)
		}
	})
}

// c1 is a failed dial as it is reported.
func c1(err error) error { return fmt.Errorf("getty: dial: %w", err) }

// Hooks may ask the client, and what they do wrong ends nothing.
func TestHooksOfAClient(t *testing.T) {
	for _, tc := range []struct {
		name string
		hook func(c *getty.Client[string])
	}{
		{"asks", func(c *getty.Client[string]) {
			_, _ = c.State(), c.Stats()
			for s := range c.Sessions() {
				_ = s.ID()
			}
		}},
		{"panics", func(*getty.Client[string]) { panic("hook") }},
		{"exits", func(*getty.Client[string]) { runtime.Goexit() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testHooks(t, tc.hook) })
		})
	}
}

func testHooks(t *testing.T, hook func(c *getty.Client[string])) {
	var c *getty.Client[string]
	var asked, told, gaveUp atomic.Int64
	sv := dialing(answerEOF)
	c = pooled(t, "tcp://service:1", record(), getty.ClientConfig{
		PoolSize: 2, MaxFailures: 3, Dial: sv.dial,
		OnReconnect: func(int, error) { told.Add(1); hook(c) },
		OnGiveUp:    func(error) { gaveUp.Add(1); hook(c) },
	})
	c.Reconnect = func(*session, error) bool { asked.Add(1); hook(c); return true }
	for i := range 3 {
		_ = c.Connect(t.Context()) // may see the sessions in their short lives
		time.Sleep(time.Hour)
		st := c.State()
		if !st.GaveUp || st.Failures != 3 || st.Live != 0 || st.Dialing != 0 || st.Retired != 0 {
			t.Fatalf("after giving up the pool is %+v", st)
		}
		n := int64(i + 1)
		if sv.dials() != int(6*n) || asked.Load() != 6*n || gaveUp.Load() != n {
			t.Fatalf("%d dials, %d questions, gave up %d times", sv.dials(), asked.Load(), gaveUp.Load())
		}
	}
	if told.Load() == 0 {
		t.Fatal("OnReconnect was never called")
	}
	sv.becomes(answerPipe)
	must(t, c.Connect(t.Context()))
	start := time.Now()
	must(t, c.Close())
	must(t, c.Shutdown(t.Context()))
	if took := time.Since(start); took != 0 {
		t.Fatalf("the end took %v", took)
	}
}

// asking is a log handler that asks the client that it is told about.
type asking struct {
	slog.Handler
	ask  func()
	told *atomic.Int64
}

func (h asking) Handle(context.Context, slog.Record) error {
	h.told.Add(1)
	h.ask()
	return nil
}

// A log handler may do with the client what it likes: it ships its records over
// it, perhaps.
func TestLogsOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *getty.Client[string]
		var told atomic.Int64
		ask := func() {
			_, _ = c.State(), c.Stats()
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_ = c.Send(ctx, "failed")
		}
		sv := dialing(answerEOF)
		c = pooled(t, "tcp://service:1", record(), getty.ClientConfig{
			Config:   getty.Config{Logger: slog.New(asking{slog.NewTextHandler(io.Discard, nil), ask, &told})},
			PoolSize: 2, MaxFailures: 3, Dial: sv.dial,
		})
		for range 2 {
			_ = c.Connect(t.Context())
			time.Sleep(time.Hour)
			if st := c.State(); !st.GaveUp || st.Failures != 3 {
				t.Fatalf("the pool is %+v", st)
			}
		}
		if told.Load() < 6 {
			t.Errorf("%d records were logged", told.Load())
		}
		must(t, c.Shutdown(t.Context()))
	})
}

// D20: whatever the client waits for, Close and Shutdown end it at once.
func TestD20CloseInterruptsEverything(t *testing.T) {
	for _, tc := range []struct {
		name, url string
		answer    answer
	}{
		{"a pause", "tcp://service:1", answerError},
		{"a dial", "tcp://service:1", answerNever},
		{"a handshake", "tls://service:1", answerPipe},
	} {
		for _, end := range []struct {
			name string
			call func(c *getty.Client[string]) error
		}{
			{"Close", (*getty.Client[string]).Close},
			{"Shutdown", func(c *getty.Client[string]) error { return c.Shutdown(context.Background()) }},
		} {
			t.Run(end.name+" ends "+tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					sv := dialing(tc.answer)
					cfg := getty.ClientConfig{
						PoolSize: 3, Dial: sv.dial, DialTimeout: time.Hour,
						Backoff: getty.Backoff{Min: time.Hour, Max: time.Hour},
					}
					cfg.HandshakeTimeout = time.Hour
					c, err := getty.NewClient(tc.url, codec.Line{}, record(), cfg)
					must(t, err)
					calls := make(chan error, 3)
					go func() { calls <- c.Connect(context.Background()) }()
					go func() { _, err := c.Session(context.Background()); calls <- err }()
					go func() { calls <- c.Send(context.Background(), "x") }()
					synctest.Wait()
					start := time.Now()
					must(t, end.call(c))
					must(t, c.Shutdown(context.Background()))
					for range 3 {
						if err := <-calls; !errors.Is(err, getty.ErrClosed) {
							t.Errorf("a waiting call ended with %v", err)
						}
					}
					if took := time.Since(start); took != 0 {
						t.Fatalf("the end took %v", took)
					}
					if n := sv.dials(); n != 3 {
						t.Fatalf("%d dials", n)
					}
				})
			})
		}
	}
}

// Whether a session is replaced is the user's choice, made after its OnClose.
func TestD17DeclinedSlotsStayEmptyUntilConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := record()
		sv := dialing(answerPipe)
		c := pooled(t, "tcp://service:1", r, getty.ClientConfig{PoolSize: 4, Dial: sv.dial})
		c.Reconnect = func(_ *session, cause error) bool {
			if len(r.closed) == 0 {
				t.Error("Reconnect was asked before OnClose had returned")
			}
			return !errors.Is(cause, io.EOF)
		}
		must(t, c.Connect(t.Context()))
		time.Sleep(getty.DefaultStablePeriod)
		for range 2 {
			must(t, (<-sv.far).Close())
		}
		synctest.Wait()
		s, err := c.Session(t.Context())
		must(t, err)
		s.CloseWithCause(io.ErrNoProgress)
		time.Sleep(time.Hour)
		if st := c.State(); st.Retired != 2 || st.Live != 2 || st.Failures != 0 {
			t.Fatalf("the pool is %+v", st)
		}
		if n := sv.dials(); n != 4+1 {
			t.Fatalf("%d dials for 4 slots and one replaced session", n)
		}
		must(t, c.Connect(t.Context()))
		if st := c.State(); st.Live != 4 || st.Retired != 0 {
			t.Fatalf("after Connect the pool is %+v", st)
		}
	})
}
