// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// probe connects to a listener again and again, as clients without a pool do.
// Nothing may go wrong: a process that accepts a connection answers on it, also
// when it has said farewell.
type probe struct {
	addr            string
	takeovers       atomic.Int64 // begun and ended: it is odd during one
	done, farewells atomic.Int64
	during          atomic.Int64 // connected within one takeover
}

// newProbe probes until the test ends.
func newProbe(t *testing.T, addr string) *probe {
	t.Helper()
	p := &probe{addr: addr}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := p.once(); err != nil {
					t.Errorf("connect %d to %s: %v", p.done.Load(), addr, err)
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		close(stop)
		all.Wait()
		t.Logf("%d connects to %s, %d of them within a takeover, %d heard a farewell",
			p.done.Load(), addr, p.during.Load(), p.farewells.Load())
		if p.during.Load() == 0 {
			t.Errorf("no connect to %s was made during a takeover", addr)
		}
	})
	return p
}

// once connects, has one line answered, and closes.
func (p *probe) once() error {
	begun := p.takeovers.Load()
	nc, err := net.DialTimeout("tcp", p.addr, limit)
	if err != nil {
		return err
	}
	defer nc.Close()
	if begun%2 == 1 && p.takeovers.Load() == begun {
		p.during.Add(1)
	}
	_ = nc.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(nc, "probe\n"); err != nil {
		return err
	}
	if err := p.answer(bufio.NewReader(nc)); err != nil {
		return err
	}
	p.done.Add(1)
	// It ends with a reset: the ports of so many closes would be out of use for a while.
	return nc.(*net.TCPConn).SetLinger(0)
}

// answer waits for the answer, which a farewell may precede.
func (p *probe) answer(r *bufio.Reader) error {
	for {
		switch line, err := r.ReadString('\n'); {
		case err != nil:
			return fmt.Errorf("no answer, but %q: %w", line, err)
		case line == farewell+"\n":
			p.farewells.Add(1)
		case line != "probe\n":
			return fmt.Errorf("%q is the answer", line)
		default:
			return nil
		}
	}
}
