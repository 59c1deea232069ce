// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

// failTB is a test whose failures are those of NewPair.
type failTB struct {
	testing.TB
	failures []string
	cleanups []func()
}

func (t *failTB) Helper()          {}
func (t *failTB) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }
func (t *failTB) Errorf(format string, args ...any) {
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

func (t *failTB) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// run runs f and the cleanups as a test would, and returns the failures.
func (t *failTB) run(f func()) []string {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
	for _, c := range t.cleanups {
		c()
	}
	return t.failures
}

func TestPairReportsFailures(t *testing.T) {
	for _, c := range []struct {
		name   string
		want   string
		server func() *recorder
		opt    gettytest.Options
	}{
		{"config", "gettytest: server: getty: Config.MaxMessageSize", echo, gettytest.Options{
			Server: getty.Config{MaxMessageSize: -1},
		}},
		{"client's config", "gettytest: client: getty: ClientConfig.PoolSize", echo, gettytest.Options{
			Client: getty.ClientConfig{PoolSize: -1},
		}},
		{"connect", "gettytest: connect: getty: client gave up", echo, gettytest.Options{
			Client: getty.ClientConfig{
				MaxFailures: 1,
				Dial:        gettytest.NewNetwork(gettytest.Faults{}).Dial, // nobody listens there
			},
		}},
		{"shutdown", "gettytest: server: getty: shutdown: session 1 is in OnMessage", func() *recorder {
			return &recorder{OnMessageFunc: func(*getty.Session[string], string) error {
				time.Sleep(time.Hour)
				return errors.New("too late")
			}}
		}, gettytest.Options{}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			tb := &failTB{TB: t}
			failures := tb.run(func() {
				p := gettytest.NewPair(tb, codec.Line{}, c.server(), getty.EventListener[string](new(recorder)), c.opt)
				_ = p.Client.Send(t.Context(), "hello")
				time.Sleep(time.Second)
			})
			time.Sleep(2 * time.Hour) // a bubble wants all its goroutines to end
			if len(failures) != 1 || !strings.HasPrefix(failures[0], c.want) {
				t.Errorf("failures %q, want %q", failures, c.want)
			}
		})
	}
}
