// SPDX-License-Identifier: Apache-2.0

//go:build !getty_portable

package getty_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// TestUserTimeout shows why it is not set by default: a peer that is there and
// does not read loses its session as well. On TCP it comes before WriteTimeout,
// on both sides; accepted conns have it from the listener. What it does in a
// partition is tested in faults.
func TestUserTimeout(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		want := error(syscall.ETIMEDOUT)
		cfg := getty.Config{UserTimeout: 300 * time.Millisecond, WriteTimeout: limit / 2, CloseTimeout: time.Millisecond}
		if strings.Contains(t.Name(), "/unix/") { // it has none
			want, cfg.WriteTimeout = getty.ErrWriteTimeout, 2*time.Second
		}
		r := record()
		ep, nc := open(t, spec{events: r, cfg: cfg})
		defer nc.Close()
		s := receive(t, r.opened, "OnOpen")
		for s.Send(strings.Repeat("x", 1<<19)) == nil { //nolint:revive // until it has ended
		}
		wantCause(t, receive(t, r.closed, "OnClose"), want)
		finish(t, ep)
	})
}

// A hook that makes the sockets would not know of it.
func TestUserTimeoutNeedsOurSockets(t *testing.T) {
	cfg := getty.ClientConfig{Config: getty.Config{UserTimeout: time.Second}, Dial: newNetwork().Dial}
	_, err := getty.NewClient("tcp://server:1", codec.Line{}, record(), cfg)
	checkConfigError(t, err, "Config.UserTimeout", "together with Dial")
}
