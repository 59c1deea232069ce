// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// TestToxiproxy tries cells through the toxics of Shopify's toxiproxy.
func TestToxiproxy(t *testing.T) {
	toxics.Register(tripType, new(tripToxic))
	eachReal(t, inToxiproxy, func(t *testing.T, c cell) {
		run(t, c, inToxiproxy, realUnit, realSlop, &toxic{t: t, key: c.String()})
	})
}

// toxic is a road through a proxy.
type toxic struct {
	trips
	t      testing.TB
	key    string
	proxy  *toxiproxy.Proxy
	broken bool
}

func (r *toxic) connect(b *bed) (string, dialFunc) {
	b.must(b.srv.Listen(urlTo(b.cell, "127.0.0.1:0")))
	r.start("127.0.0.1:0", b.srv.Addrs()[0].String())
	tripping.Store(r.key, r)
	for _, side := range sides {
		r.add(tripType, side, fmt.Sprintf(`{"key": %q, "side": %q}`, r.key, side))
	}
	return urlTo(b.cell, r.proxy.Listen), nil
}

func (r *toxic) start(listen, upstream string) {
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	r.proxy = toxiproxy.NewProxy(api, r.key, listen, upstream)
	if err := r.proxy.Start(); err != nil {
		r.t.Fatalf("toxiproxy: %v", err)
	}
}

// streamOf is the toxiproxy's name for what a side sends.
func streamOf(side string) string {
	if side == "client" {
		return stream.Upstream.String()
	}
	return stream.Downstream.String()
}

func (r *toxic) add(kind, side, attributes string) {
	name := kind + "_" + side
	spec := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": %s}`, name, kind, streamOf(side), attributes)
	if _, err := r.proxy.Toxics.AddToxicJson(strings.NewReader(spec)); err != nil {
		r.t.Errorf("toxic %s: %v", spec, err)
	}
	r.broken = r.broken || kind == "timeout" || kind == "reset_peer"
}

// trip is at once where the toxic has to be there before the conn.
func (r *toxic) trip(side string, n int, f func()) {
	if n == 0 || strings.Contains(r.key, "/"+reset+"/") {
		f()
		return
	}
	r.trips.trip(side, n, f)
}

func (r *toxic) do(fault, side string) {
	switch fault {
	case reset:
		r.add("reset_peer", side, `{"timeout": 0}`)
	case silent:
		r.add("timeout", side, `{"timeout": 0}`)
		r.add("timeout", otherThan(side), `{"timeout": 0}`)
	case oneWay:
		r.add("timeout", side, `{"timeout": 0}`)
	case latency:
		r.add("latency", side, `{"latency": 15, "jitter": 15}`)
	case oneByte:
		r.add("slicer", side, `{"average_size": 1, "size_variation": 0, "delay": 0}`)
	}
}

// heal replaces the proxy: toxics that wait cannot be removed.
func (r *toxic) heal() {
	if r.broken {
		r.broken = false
		r.proxy.Stop()
		r.start(r.proxy.Listen, r.proxy.Upstream)
	}
}

func (r *toxic) close() {
	r.proxy.Stop()
	tripping.Delete(r.key)
}

// tripToxic is a toxic of ours: it lets a number of bytes pass and then drops
// the rest of what it was given, while a fault happens.
type tripToxic struct {
	Key  string `json:"key"`
	Side string `json:"side"`
}

const tripType = "trip"

// tripping has the roads by key: a toxic is made by reflection.
var tripping sync.Map

// Pipe is the toxic's work.
func (x *tripToxic) Pipe(stub *toxics.ToxicStub) {
	road, _ := tripping.Load(x.Key)
	r, ok := road.(*toxic)
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			if ok {
				c.Data = r.cut(x.Side, c.Data)
			}
			if len(c.Data) > 0 {
				stub.Output <- c
			}
		}
	}
}

// cut is pass that does not wait for the fault.
func (r *toxic) cut(side string, p []byte) []byte {
	r.lock.Lock()
	defer r.lock.Unlock()
	w := r.at[side]
	if w == nil {
		return p
	}
	if w.left > len(p) {
		w.left -= len(p)
		return p
	}
	delete(r.at, side)
	go w.f()
	return p[:w.left]
}
