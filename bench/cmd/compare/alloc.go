// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/getty-net/getty/bench/internal/load"
)

// goContenders lists those that can count their allocations.
func (b *bench) goContenders() []string {
	return b.wanted([]string{
		subject, "net", "gnet", "nbio", "netpoll", "dubbogetty", "tls-getty", "tls-net",
		"ws-getty", "ws-gws", "ws-coder", "ws-gorilla", "ws-gobwas", "ws-nbio", "udp-getty", "udp-net", "udp-gnet", "udp-nbio",
	})
}

// alloc counts allocations of the server: for a message, and for a session.
func (b *bench) alloc() error {
	b.section("Allocations of the server", `Counted by the Go runtime. A session is opened, echoes one message of
64 B and is closed; the sessions of UDP are not, within this time.`)
	b.print("| server | per message, 1 in flight | per message, 16 in flight | per session | bytes per session |\n|---|--:|--:|--:|--:|\n")
	for _, name := range b.goContenders() {
		srv, err := b.start(name, cell{Body: 64})
		if err != nil {
			return err
		}
		err = b.allocOf(name, srv)
		srv.kill()
		if err != nil {
			return err
		}
	}
	b.print("\n")
	return nil
}

func (b *bench) allocOf(name string, srv *server) error {
	c := cell{Conns: 100, Body: 64, Depth: 1}.spoken(name)
	single, err := b.perMessageAllocs(srv, c)
	if err != nil {
		return err
	}
	if c.Depth = 16; c.UDP {
		c.Conns = udpFlows
	}
	pipelined, err := b.perMessageAllocs(srv, c)
	if err != nil {
		return err
	}
	count, bytes, err := b.perSessionAllocs(srv, c)
	if err != nil {
		return err
	}
	b.print("| %s | %.4f | %.4f | %.1f | %.0f |\n", name, single, pipelined, count, bytes)
	return nil
}

// perMessageAllocs counts from when all connections have echoed once until the load has ended.
func (b *bench) perMessageAllocs(srv *server, c cell) (float64, error) {
	p, err := b.launch(b.loadCPU, b.bin("load"), append(b.loadArgs(srv, c), "-hold", "-warmup", "0s")...)
	if err != nil {
		return 0, err
	}
	defer p.kill()
	if _, err := p.line(); err != nil {
		return 0, err
	}
	before, err := srv.ask("mallocs")
	if err != nil {
		return 0, err
	}
	if err := p.proceed(); err != nil {
		return 0, err
	}
	var res load.Result
	if err := p.decode(&res); err != nil {
		return 0, err
	}
	after, err := srv.ask("mallocs")
	return float64(after["mallocs"]-before["mallocs"]) / float64(res.Messages), err
}

// perSessionAllocs opens, uses and closes sessions, after a first time that fills pools and caches.
func (b *bench) perSessionAllocs(srv *server, c cell) (count, bytes float64, err error) {
	const sessions = 1000
	c.Conns = sessions
	var before, after map[string]int64
	for range 2 {
		if before, err = srv.ask("mallocs"); err != nil {
			return 0, 0, err
		}
		p, err := b.launch(b.loadCPU, b.bin("load"), append(b.loadArgs(srv, c), "-once")...)
		if err != nil {
			return 0, 0, err
		}
		if _, err := p.line(); err != nil {
			p.kill()
			return 0, 0, err
		}
		if err := p.wait(); err != nil {
			return 0, 0, err
		}
		time.Sleep(1500 * time.Millisecond) // the server has noticed and cleaned up
		if after, err = srv.ask("mallocs"); err != nil {
			return 0, 0, err
		}
	}
	return float64(after["mallocs"]-before["mallocs"]) / sessions, float64(after["bytes"]-before["bytes"]) / sessions, nil
}
