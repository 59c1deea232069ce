// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/getty-net/getty/bench/internal/stats"
)

const poolSize = 16

// poolLibraries are those that have pooled clients.
var poolLibraries = []string{"getty", "dubbogetty"}

// poolSample is one life of a pooled client, in milliseconds; -1 where the pool was not full before the timeout.
type poolSample struct {
	Contender string  `json:"contender"`
	Fill      float64 `json:"fill_ms"`
	Crash     float64 `json:"after_crash_ms"`    // the server was away; its connections had been reset
	Farewell  float64 `json:"after_farewell_ms"` // the server was away; its connections had been closed in order
	Most      int     `json:"most"`              // connections seen a second after the pool was full again
}

// pool measures how fast a client fills its pool.
func (b *bench) pool() error {
	b.section(fmt.Sprintf("Pool of %d connections", poolSize), fmt.Sprintf(`From the start of the client until all
connections stand, and from the server's return after %v until all stand again: once after a crash (connections
reset), once after an orderly stop (connections closed). Seen from the server. Median of the runs.`, b.poolAway))
	b.print("| client | runs | fill | full again after a crash | after an orderly stop | most connections |\n|---|--:|--:|--:|--:|--:|\n")
	for _, c := range []struct {
		name string
		runs int // dubbo-getty sleeps between its dials and takes minutes
	}{{subject, 3}, {"dubbogetty", 1}} {
		if !b.want(c.name) {
			continue
		}
		var fill, crash, farewell []float64
		most := 0
		for i := range c.runs {
			fmt.Fprintf(os.Stderr, "\rpool: %s: run %d of %d ", c.name, i+1, c.runs)
			s, err := b.poolOf(c.name)
			if err != nil {
				return err
			}
			b.poolRaw = append(b.poolRaw, s)
			fill, crash, farewell = append(fill, s.Fill), append(crash, s.Crash), append(farewell, s.Farewell)
			most = max(most, s.Most)
		}
		b.print("| %s | %d | %s | %s | %s | %d |\n", c.name, c.runs,
			b.poolTime(fill), b.poolTime(crash), b.poolTime(farewell), most)
	}
	fmt.Fprintln(os.Stderr)
	b.print("\n")
	return nil
}

// poolTime prints the median of the times.
func (b *bench) poolTime(ms []float64) string {
	if stats.Quantile(ms, 0) < 0 {
		return fmt.Sprintf("not within %v", b.poolTimeout)
	}
	return fmt.Sprintf("%.1f ms", stats.Median(ms))
}

func (b *bench) poolOf(name string) (s poolSample, err error) {
	s.Contender = name
	for _, stage := range []struct {
		reset   bool
		refills *float64
	}{{true, &s.Crash}, {false, &s.Farewell}} {
		l, err := listenPool("127.0.0.1:0")
		if err != nil {
			return s, err
		}
		began := time.Now()
		p, err := b.launch(b.loadCPU, b.bin("pool-"+name), "-impl", name, "-addr", l.Addr().String(), "-size", strconv.Itoa(poolSize))
		if err != nil {
			return s, err
		}
		s.Fill = l.full(began, b.poolTimeout)
		time.Sleep(b.poolUp) // longer than what clients take for a connection that was never any good
		l.leave(stage.reset)
		time.Sleep(b.poolAway)
		back, err := listenPool(l.Addr().String())
		if err == nil {
			*stage.refills = back.full(time.Now(), b.poolTimeout)
			time.Sleep(time.Second) // time for one too many
			s.Most = max(s.Most, back.standing())
			back.leave(true)
		}
		p.kill()
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// poolServer accepts connections and counts those that stand.
type poolServer struct {
	net.Listener
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	changed chan struct{} // holds a token when conns has changed
}

func listenPool(addr string) (*poolServer, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &poolServer{Listener: l, conns: make(map[net.Conn]struct{}), changed: make(chan struct{}, 1)}
	go s.accept()
	return s, nil
}

func (s *poolServer) accept() {
	for {
		c, err := s.Accept()
		if err != nil {
			return
		}
		s.set(c, true)
		go func() {
			_, _ = io.Copy(io.Discard, c)
			s.set(c, false)
			_ = c.Close()
		}()
	}
}

func (s *poolServer) set(c net.Conn, stands bool) {
	s.mu.Lock()
	if stands {
		s.conns[c] = struct{}{}
	} else {
		delete(s.conns, c)
	}
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// standing returns how many connections there are.
func (s *poolServer) standing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// full waits until the pool is full and returns the milliseconds since then, or -1.
func (s *poolServer) full(since time.Time, timeout time.Duration) float64 {
	expired := time.After(timeout)
	for {
		if s.standing() >= poolSize {
			return float64(time.Since(since).Microseconds()) / 1e3
		}
		select {
		case <-s.changed:
		case <-expired:
			return -1
		}
	}
}

// leave closes the listener and all connections: with a reset, as a crash does, or in order.
func (s *poolServer) leave(reset bool) {
	_ = s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if reset {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		_ = c.Close()
	}
}
