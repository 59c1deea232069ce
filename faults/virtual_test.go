// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty/gettytest"
)

// TestVirtual tries cells in virtual time, over a network in memory. The bubble
// sees to it that no goroutine is left.
func TestVirtual(t *testing.T) {
	certificate() // not inside a bubble, whose clock begins with the year 2000
	for _, c := range cellsIn(inVirtual) {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var r road = newMemory(t, c)
				if c.transport == udp {
					r = newAir(t, c)
				}
				run(t, c, inVirtual, 2*time.Second, 10*time.Millisecond, r)
			})
		})
	}
}

// memory is a road of package gettytest.
type memory struct {
	taps
	t       testing.TB
	faults  gettytest.Faults
	network *gettytest.Network
}

func newMemory(t testing.TB, c cell) *memory {
	f := gettytest.Faults{Seed: seedOf(t, c), Buffer: 16 << 10}
	return &memory{t: t, faults: f, network: gettytest.NewNetwork(f)}
}

func (m *memory) connect(b *bed) (string, dialFunc) {
	l, err := m.network.Listen("server:1")
	b.must(err)
	m.begin(b)
	go b.serve(tapped{l, &m.taps})
	return urlTo(b.cell, "server:1"), m.dialer(m.network.Dial)
}

// serve has the server accept from l.
func (b *bed) serve(l net.Listener) {
	switch b.transport {
	case "tls":
		_ = b.srv.ServeTLS(l)
	case "ws":
		_ = b.srv.ServeWebSocket(l, "/x")
	case "wss":
		_ = b.srv.ServeWebSocketTLS(l, "/x")
	default:
		_ = b.srv.Serve(l)
	}
}

func (m *memory) do(fault, side string) {
	switch fault {
	case reset:
		m.network.Reset()
	case halfClose:
		m.each(side, func(c *tap) { _ = c.CloseWrite() })
	case silent:
		m.network.Partition(gettytest.BothWays)
	case oneWay:
		m.network.Partition(map[string]gettytest.Direction{"server": gettytest.ServerToClient, "client": gettytest.ClientToServer}[side])
	case latency:
		m.faults.Latency, m.faults.Jitter = 20*time.Millisecond, 60*time.Millisecond
		m.network.SetFaults(m.faults)
	case oneByte:
		m.faults.MaxRead, m.faults.MaxWrite = 1, 1
		m.network.SetFaults(m.faults)
	case noBuffers:
		m.each(side, func(c *tap) { close(c.fail) })
	}
}

func (m *memory) heal() { m.network.Heal() }

func (m *memory) close() {
	synctest.Wait()
	if n := m.network.Conns(); n != 0 {
		m.t.Errorf("%d conns are left", n)
	}
}
