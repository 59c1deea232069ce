// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"github.com/getty-net/getty/bench/internal/stats"
)

// idleSample is the memory of one contender with idle sessions.
type idleSample struct {
	Contender  string  `json:"contender"`
	Round      int     `json:"round"`
	BaseKB     int64   `json:"base_kb"` // resident before the first connection
	FullKB     int64   `json:"full_kb"` // resident with all of them
	Open       int     `json:"open"`    // connections still open after the measurement
	Bytes      float64 `json:"bytes_per_session"`
	Goroutines float64 `json:"goroutines_per_session"`
}

// status is what cmd/load prints at each stop.
type status struct {
	Conns int `json:"conns"`
	Open  int `json:"open"`
}

// idle measures what a session costs that has echoed one message and waits.
func (b *bench) idle() error {
	b.section("Memory of idle sessions", fmt.Sprintf(`%d sessions, each after one echoed message of 64 B. Resident
memory (VmRSS) less that before the first connection, both after two collections and debug.FreeOSMemory (for C:
malloc_trim), the same for all; what a process sets up once is in it too, spread over the sessions. Every connection
had echoed and was still open afterwards.`, b.idleConns))
	return b.idleTable("idle", []string{subject, "c", "net", "gnet", "nbio", "netpoll", "dubbogetty", "tls-getty", "tls-net"})
}

// idleTable measures contenders and prints one table.
func (b *bench) idleTable(part string, names []string) error {
	b.print("| server | bytes/session: median [least, most] | goroutines/session |\n|---|--:|--:|\n")
	names = b.wanted(names)
	all := make(map[string][]idleSample)
	for round := range b.idleRounds {
		for _, name := range names {
			fmt.Fprintf(os.Stderr, "\r%s: round %d of %d: %-12s", part, round+1, b.idleRounds, name)
			s, err := b.idleOf(name)
			if err != nil {
				return fmt.Errorf("idle %s: %w", name, err)
			}
			s.Round = round
			all[name] = append(all[name], s)
			b.idleRaw = append(b.idleRaw, s)
		}
	}
	fmt.Fprintln(os.Stderr)
	for _, name := range names {
		var bytes, routines []float64
		for _, s := range all[name] {
			bytes, routines = append(bytes, s.Bytes), append(routines, s.Goroutines)
		}
		b.print("| %s | %.0f [%.0f, %.0f] | %.2f |\n", name, stats.Median(bytes), stats.Quantile(bytes, 0),
			stats.Quantile(bytes, 1), stats.Median(routines))
	}
	b.print("\n")
	return nil
}

func (b *bench) idleOf(name string) (s idleSample, err error) {
	s.Contender = name
	srv, err := b.start(name, cell{Body: 64})
	if err != nil {
		return s, err
	}
	defer srv.kill()
	if s.BaseKB, err = resident(srv); err != nil {
		return s, err
	}
	c := cell{Conns: b.idleConns, Body: 64, Depth: 1}.spoken(name)
	p, err := b.launch(b.loadCPU, b.bin("load"), append(b.loadArgs(srv, c), "-once", "-hold")...)
	if err != nil {
		return s, err
	}
	defer p.kill()
	var st status
	if err := p.decode(&st); err != nil { // printed when every connection has echoed
		return s, err
	}
	if s.FullKB, err = resident(srv); err != nil {
		return s, err
	}
	if name != "c" {
		g, err := srv.ask("goroutines")
		if err != nil {
			return s, err
		}
		s.Goroutines = float64(g["goroutines"]) / float64(b.idleConns)
	}
	if err := p.proceed(); err != nil {
		return s, err
	}
	if err := p.decode(&st); err != nil {
		return s, err
	}
	if s.Open = st.Open; s.Open != b.idleConns {
		return s, fmt.Errorf("only %d of %d connections were still open", s.Open, b.idleConns)
	}
	s.Bytes = float64(s.FullKB-s.BaseKB) * 1024 / float64(b.idleConns)
	return s, nil
}

// resident collects garbage and returns the resident memory.
func resident(srv *server) (kb int64, err error) {
	if _, err := srv.ask("gc"); err != nil {
		return 0, err
	}
	values, err := srv.ask("rss")
	return values["rss_kb"], err
}
