// SPDX-License-Identifier: Apache-2.0

package gettytest

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// patience bounds the connecting and the shutting down of a Pair. It is longer
// than any default of getty's, so that the better error comes first.
const patience = 30 * time.Second

// Options configures a Pair. The zero value is useful.
type Options struct {
	// Faults of the network.
	Faults Faults
	// Config of both sides, unless they have their own below.
	Config getty.Config
	// Server replaces Config on the server unless it is zero. With a TLS
	// configuration, here or in Config, the pair speaks TLS.
	Server getty.Config
	// Client configures the client. A zero Client.Config is replaced by Config,
	// and a nil Client.Dial by the network's.
	Client getty.ClientConfig
}

// Pair is a server and a client that are connected over a network in memory.
type Pair[M any] struct {
	Network *Network
	Server  *getty.Server[M]
	Client  *getty.Client[M]
	Addr    string // what the server listens on
	URL     string // what the client dials
}

// NewPair starts a server and connects the pool of a client to it over a new
// network. When the test ends the network is healed and both are shut down; a
// Shutdown that fails, fails the test. It may be called inside a bubble of
// testing/synctest, with the t of that bubble. When it returns the client's
// sessions are open; the server's may need a moment, see Recorder.WaitOpen.
//
// For endpoints with a Configure or Reconnect make a Network, and give its
// Listen to Server.Serve and its Dial to ClientConfig.Dial.
func NewPair[M any](t testing.TB, codec getty.Codec[M], server, client getty.EventListener[M], opt Options) *Pair[M] {
	t.Helper()
	opt.complete()
	n := NewNetwork(opt.Faults)
	l, err := n.Listen("")
	if err != nil {
		t.Fatalf("gettytest: %v", err)
	}
	p := &Pair[M]{Network: n, Addr: l.Addr().String()}
	p.URL = "tcp://" + p.Addr
	if opt.Server.TLS != nil {
		p.URL = "tls://" + p.Addr
	}
	if opt.Client.Dial == nil {
		opt.Client.Dial = n.Dial
	}
	if p.Server, err = getty.NewServer(codec, server, opt.Server); err != nil {
		t.Fatalf("gettytest: server: %v", err)
	}
	if p.Client, err = getty.NewClient(p.URL, codec, client, opt.Client); err != nil {
		t.Fatalf("gettytest: client: %v", err)
	}
	serve := p.Server.Serve
	if opt.Server.TLS != nil {
		serve = p.Server.ServeTLS
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := serve(l); !errors.Is(err, getty.ErrServerClosed) {
			t.Errorf("gettytest: serve: %v", err)
		}
	})
	t.Cleanup(func() { p.shutdown(t, &serving) })

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Client.Connect(ctx); err != nil {
		t.Fatalf("gettytest: connect: %v", err)
	}
	return p
}

// complete gives both sides the common configuration.
func (o *Options) complete() {
	if reflect.ValueOf(o.Server).IsZero() {
		o.Server = o.Config
	}
	if reflect.ValueOf(o.Client.Config).IsZero() {
		o.Client.Config = o.Config
	}
}

// shutdown does not use the test's context, which has ended by now.
func (p *Pair[M]) shutdown(t testing.TB, serving *sync.WaitGroup) {
	t.Helper()
	p.Network.Heal()
	side := func(name string, shutdown func(context.Context) error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := shutdown(ctx); err != nil {
			t.Errorf("gettytest: %s: %v", name, err)
		}
	}
	side("client", p.Client.Shutdown)
	side("server", p.Server.Shutdown)
	serving.Wait()
}
