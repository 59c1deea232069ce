// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/getty-net/getty/bench/internal/load"
	"github.com/getty-net/getty/bench/internal/stats"
)

// sample is one run.
type sample struct {
	Part      string      `json:"part"`
	Cell      string      `json:"cell"`
	Contender string      `json:"contender"`
	Round     int         `json:"round"`
	Repeats   int         `json:"repeats"` // runs thrown away before this one, because something disturbed them
	Result    load.Result `json:"result"`
}

// perMessage returns the processor time of the server, in microseconds.
func (s sample) perMessage() float64 { return s.Result.ServerCPU / float64(s.Result.Messages) * 1e6 }

// rate returns messages per second.
func (s sample) rate() float64 { return float64(s.Result.Messages) / s.Result.Seconds }

func (s sample) serverUse() float64 { return s.Result.ServerCPU / s.Result.Seconds }

func (s sample) loadUse() float64 { return s.Result.LoadCPU / s.Result.Seconds }

// interleave runs every contender once in each round, in random order, so that what changes on the machine in the
// course of minutes hits all of them alike. Between its turns a server is stopped.
func (b *bench) interleave(part string, c cell, contenders []string, rounds int) (map[string][]sample, error) {
	servers := make(map[string]*server)
	defer func() {
		for _, s := range servers {
			s.kill()
		}
	}()
	for _, name := range contenders {
		s, err := b.start(name, c)
		if err != nil {
			return nil, err
		}
		servers[name] = s
		if err := s.park(); err != nil {
			return nil, err
		}
	}
	samples := make(map[string][]sample)
	rng := rand.New(rand.NewPCG(uint64(c.Conns), uint64(c.Body))) //nolint:gosec // dice, and no secret
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "\r%s: %s: round %d of %d ", part, c, round+1, rounds)
		for _, i := range rng.Perm(len(contenders)) {
			name := contenders[i]
			s := sample{Part: part, Cell: c.String(), Contender: name, Round: round}
			if err := b.undisturbed(servers[name], c, &s); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", name, c, err)
			}
			samples[name] = append(samples[name], s)
			b.raw = append(b.raw, s)
		}
	}
	fmt.Fprintln(os.Stderr)
	return samples, nil
}

// undisturbed makes a run, and repeats it if neither the server nor the load had its core to itself: then
// something else was running. It looks at no result, and treats all contenders alike. A run that failed is repeated
// as well, but not in silence.
func (b *bench) undisturbed(srv *server, c cell, s *sample) (err error) {
	const enough, attempts = 0.85, 5
	if err := srv.resume(); err != nil {
		return err
	}
	for s.Repeats = range attempts {
		if s.Result, err = b.run(srv, c); err != nil {
			b.failed = append(b.failed, fmt.Errorf("%s: %s: %s: %w", s.Part, s.Cell, s.Contender, err))
			continue
		}
		if max(s.serverUse(), s.loadUse()) >= enough {
			break
		}
	}
	if err != nil {
		return err
	}
	return srv.park()
}

// run drives one server for the time of one run.
func (b *bench) run(srv *server, c cell) (res load.Result, err error) {
	p, err := b.launch(b.loadCPU, b.bin("load"), append(b.loadArgs(srv, c), "-pid", strconv.Itoa(srv.cmd.Process.Pid))...)
	if err != nil {
		return res, err
	}
	if err := p.decode(&res); err != nil {
		p.kill()
		return res, err
	}
	return res, p.wait()
}

func (b *bench) loadArgs(srv *server, c cell) []string {
	return []string{
		"-addr", srv.addr, "-conns", strconv.Itoa(c.Conns), "-body", strconv.Itoa(c.Body),
		"-depth", strconv.Itoa(c.Depth), "-tls=" + strconv.FormatBool(c.TLS),
		"-ws=" + strconv.FormatBool(c.WebSocket), "-deflate=" + strconv.FormatBool(c.Deflate),
		"-udp=" + strconv.FormatBool(c.UDP),
		"-quiet", strconv.Itoa(c.Quiet),
		"-rate", strconv.FormatFloat(c.Rate, 'f', -1, 64),
		"-warmup", b.warmup.String(), "-duration", b.duration.String(),
	}
}

// column takes one figure out of each sample.
func column(samples []sample, of func(sample) float64) []float64 {
	xs := make([]float64, len(samples))
	for i, s := range samples {
		xs[i] = of(s)
	}
	return xs
}

func median(samples []sample, of func(sample) float64) float64 {
	return stats.Median(column(samples, of))
}
