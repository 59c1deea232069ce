// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// urlTo is what the client of a cell dials.
func urlTo(c cell, addr string) string {
	if c.webSocket() {
		addr += "/x"
	}
	return c.transport + "://" + addr
}

// relay is a road of real sockets, with a process-wide middle: two conns and two
// goroutines for each conn of the client.
type relay struct {
	taps
	*faucet
	t     testing.TB
	ln    net.Listener
	back  net.Addr
	wg    sync.WaitGroup
	rmu   sync.Mutex
	links []*link
	ended bool
	own   bool                    // the end is that of a side's own socket, not of the relay
	kept  map[string][]streamConn // these sockets
}

// link has the ends of a conn that are the relay's.
type link struct {
	ends map[string]streamConn // by the side at their other end
}

func newRelay(t testing.TB, c cell) *relay {
	return &relay{t: t, faucet: newFaucet(seedOf(t, c)), kept: make(map[string][]streamConn)}
}

func (r *relay) connect(b *bed) (string, dialFunc) {
	dir := b.socketDir()
	var dial dialFunc
	r.own = b.fault == halfClose && b.moment == between
	switch {
	case b.fault == noBuffers:
		l := listenSmall(b, dir, "server")
		r.begin(b)
		r.back = l.Addr()
		go b.serve(tapped{l, &r.taps})
		dial = r.dialer(dialSmall)
	case r.own:
		l := listenSmall(b, dir, "server")
		r.back = l.Addr()
		go b.serve(keeping{l, r})
		dial = r.keepDialed
	default:
		b.must(b.srv.Listen(listenURL(b.cell, dir, "server")))
		r.back = b.srv.Addrs()[0]
	}
	r.listen(b, dir)
	return urlTo(b.cell, r.ln.Addr().String()), dial
}

// socketDir is where unix sockets are; "" for other transports.
func (b *bed) socketDir() string {
	if b.transport != "unix" {
		return ""
	}
	dir, err := os.MkdirTemp("", "faults") // shorter than TempDir's
	b.must(err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func listenURL(c cell, dir, name string) string {
	if c.transport == "unix" {
		return "unix://" + filepath.Join(dir, name)
	}
	return urlTo(c, "127.0.0.1:0")
}

func (r *relay) listen(b *bed, dir string) {
	r.ln = listenSmall(b, dir, "relay")
	r.wg.Go(r.accept)
}

// listenSmall listens in dir, or on tcp if there is none.
func listenSmall(b *bed, dir, name string) net.Listener {
	network, addr := "tcp", "127.0.0.1:0"
	if dir != "" {
		network, addr = "unix", filepath.Join(dir, name)
	}
	l, err := (&net.ListenConfig{Control: smallBuffers}).Listen(context.Background(), network, addr)
	b.must(err)
	return l
}

// keeping is a listener whose conns the relay knows.
type keeping struct {
	net.Listener
	r *relay
}

func (l keeping) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return l.r.keep("server", nc, err)
}

func (r *relay) keepDialed(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := dialSmall(ctx, network, address)
	return r.keep("client", nc, err)
}

func (r *relay) keep(side string, nc net.Conn, err error) (net.Conn, error) {
	if err == nil {
		r.rmu.Lock()
		defer r.rmu.Unlock()
		r.kept[side] = append(r.kept[side], nc.(streamConn))
	}
	return nc, err
}

func (r *relay) accept() {
	for {
		nc, err := r.ln.Accept()
		if err != nil {
			return
		}
		rear, err := dialSmall(context.Background(), r.back.Network(), r.back.String())
		if err != nil {
			_ = nc.Close()
			continue
		}
		l := &link{map[string]streamConn{"client": nc.(streamConn), "server": rear.(streamConn)}}
		r.rmu.Lock()
		r.links = append(r.links, l)
		ended := r.ended
		r.rmu.Unlock()
		if r.failAt == "" { // else the taps see to it
			r.conn("client")
			r.conn("server")
		}
		if ended {
			l.close(false)
		}
		var both sync.WaitGroup
		both.Go(func() { r.pump("client", "server", l) })
		both.Go(func() { r.pump("server", "client", l) })
		r.wg.Go(func() { both.Wait(); l.close(false) })
	}
}

// pump hands on what a side sends.
func (r *relay) pump(from, to string, l *link) {
	src, dst := l.ends[from], l.ends[to]
	b := make([]byte, 16<<10)
	for {
		n, err := src.Read(b)
		if n > 0 {
			if err := r.pass(from, b[:n], func(p []byte) error { return r.write(from, dst, p) }); err != nil {
				r.wait(to) // whose end this is
				l.close(true)
				return
			}
		}
		if err != nil {
			r.wait(from) // the end does not pass either
			if errors.Is(err, io.EOF) {
				_ = dst.CloseWrite()
			} else {
				l.close(true)
			}
			return
		}
	}
}

func (r *relay) write(side string, dst io.Writer, p []byte) error {
	slow := r.wait(side)
	r.faucet.mu.Lock()
	gone := r.gone[side]
	r.faucet.mu.Unlock()
	switch {
	case gone:
		return nil
	case slow == latency:
		<-time.After(time.Duration(r.upTo(int64(25 * time.Millisecond))))
	case slow == oneByte:
		// Of a backlog only the first bytes, here: TestVirtual has time for all.
		for range min(len(p), singleBytes) {
			if _, err := dst.Write(p[:1]); err != nil {
				return err
			}
			p = p[1:]
		}
	}
	_, err := dst.Write(p)
	return err
}

const singleBytes = 1000

// close ends both conns. A reset loses what has not arrived, as far as the
// network below can do that.
func (l *link) close(reset bool) {
	for _, nc := range l.ends {
		if tc, ok := nc.(*net.TCPConn); ok && reset {
			_ = tc.SetLinger(0)
		}
		_ = nc.Close()
	}
}

func (r *relay) each(f func(l *link)) {
	r.rmu.Lock()
	links := slices.Clone(r.links)
	r.rmu.Unlock()
	for _, l := range links {
		f(l)
	}
}

func (r *relay) do(fault, side string) {
	switch fault {
	case reset:
		r.each(func(l *link) { l.close(true) })
	case halfClose:
		if r.own {
			r.rmu.Lock()
			defer r.rmu.Unlock()
			for _, nc := range r.kept[side] {
				_ = nc.CloseWrite()
			}
			return
		}
		r.faucet.mu.Lock()
		r.gone[side] = true
		r.faucet.mu.Unlock()
		r.each(func(l *link) { _ = l.ends[otherThan(side)].CloseWrite() })
	case silent:
		r.hold("server", "client")
	case oneWay:
		r.hold(side)
	case latency, oneByte, reorder:
		r.slow[side] = fault
	case noBuffers:
		r.taps.each(side, func(c *tap) { close(c.fail) })
	}
}

func otherThan(side string) string {
	if side == "server" {
		return "client"
	}
	return "server"
}

func (r *relay) close() {
	_ = r.ln.Close()
	r.rmu.Lock()
	r.ended = true
	r.rmu.Unlock()
	r.each(func(l *link) { l.close(false) })
	r.wg.Wait()
}

func dialSmall(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Control: smallBuffers}).DialContext(ctx, network, address)
}

// TestSockets tries cells in real time: over a relay of our own, on udp over one
// for packets.
func TestSockets(t *testing.T) {
	eachReal(t, inSockets, func(t *testing.T, c cell) {
		var r road = newRelay(t, c)
		if c.transport == udp {
			r = newPackets(t, c)
		}
		run(t, c, inSockets, realUnit, realSlop, r)
	})
}

// eachReal runs the cells of a layer at once, mostly waiting, and looks at what
// is left of them.
func eachReal(t *testing.T, layer string, try func(t *testing.T, c cell)) {
	fds, goroutines := descriptors(t), goleak.IgnoreCurrent()
	t.Run("", func(t *testing.T) {
		for _, c := range cellsIn(layer) {
			t.Run(strings.TrimSpace(c.String()), func(t *testing.T) {
				t.Parallel()
				try(t, c)
			})
		}
	})
	wantNothingLeft(t, fds, goroutines)
}
