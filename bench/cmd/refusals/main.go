// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command refusals measures what refusing costs: for each limit of a server, the CPU time of the server and of the
// peer that runs into it, for each attempt. Run it in the bench directory: go run ./cmd/refusals [part of a name]. The server is a
// process of its own; the peer is a Go program on plain sockets with what it sends prepared. A figure stands only if what was
// counted by the server is what was to be measured.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

var (
	rounds   = flag.Int("rounds", 5, "how often to measure, after one round more that warms up")
	attempts = flag.Int("attempts", 1024, "in a round, a multiple of 64")
	server   = flag.String("serve", "", "be the server of this `kind`")
)

// peers are how many attempts there are at once: so few that each wakes the
// server, and a flood.
var peers = [...]int{4, 64}

// slowAttempts are those of a kind that takes seconds for each, all at once.
const slowAttempts = 256

func main() {
	flag.Parse()
	run := table
	if *server != "" {
		run = func(string) error { return serve(*server) }
	}
	if err := run(flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "refusals:", err)
		os.Exit(1)
	}
}

func table(part string) error {
	if *attempts < peers[1] || *attempts%peers[1] != 0 {
		return fmt.Errorf("-attempts is %d, want a multiple of %d", *attempts, peers[1])
	}
	fmt.Printf("%s, %d CPUs, %s: median of %d rounds of %d attempts, µs of CPU for each\n\n",
		runtime.Version(), runtime.NumCPU(), time.Now().Format(time.DateOnly), *rounds, *attempts)
	fmt.Printf("| refusal | server, %d at once | peer | peer / server | server, %d at once | peer | peer / server |\n", peers[0], peers[1])
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|")
	for _, k := range kinds {
		if !strings.Contains(k.name, part) {
			continue
		}
		fmt.Printf("| %s |", k.name)
		for i, n := range peers {
			if k.slow && i == 0 {
				fmt.Print(" – | – | – |")
				continue
			}
			server, peer, err := measure(k, n)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			fmt.Printf(" %s | %s | %.1f |", micros(server), micros(peer), peer/server)
		}
		fmt.Println()
	}
	return nil
}

// micros has one digit more where that matters.
func micros(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

// process is a server in a process of its own.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
	addr  string
}

func start(name string) (*process, error) {
	cmd := exec.Command("/proc/self/exe", "-serve", name) //nolint:gosec // a program of ours
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, in: in, lines: bufio.NewReader(out)}
	if p.addr, err = p.lines.ReadString('\n'); err != nil {
		return nil, firstError(p.stop(), err)
	}
	p.addr = strings.TrimSpace(p.addr)
	return p, nil
}

func (p *process) stop() error { return firstError(p.in.Close(), p.cmd.Wait()) }

// books are what a server has used and done so far.
type books struct {
	ns             int64 // of CPU
	ended, refused int64 // refused: as the kind wants it
}

func (p *process) books() (b books, err error) {
	if _, err = io.WriteString(p.in, "books\n"); err == nil {
		_, err = fmt.Fscanln(p.lines, &b.ns, &b.ended, &b.refused)
	}
	return b, err
}

// settled are the books when all attempts have ended, or when something last has.
// Asking for them costs the server, so it is not done often, nor counted in the
// end.
func (p *process) settled(before books, all int64) (books, error) {
	for quiet, last := 0, before; ; time.Sleep(10 * time.Millisecond) {
		b, err := p.books()
		switch {
		case err != nil || b.ended-before.ended >= all:
			return b, err
		case b.ended != last.ended:
			quiet, last = 0, b
		case quiet == 20:
			return last, nil
		}
		quiet++
	}
}

// measure returns the medians in microseconds, with so many peers at once.
func measure(k kind, peers int) (server, peer float64, err error) {
	p, err := start(k.name)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = firstError(err, p.stop()) }()
	if k.holds {
		nc, err := hold(k, p.addr)
		if err != nil {
			return 0, 0, err
		}
		defer nc.Close()
	}
	var sends []byte
	if k.sends != nil {
		sends = k.sends()
	}
	n := *attempts
	if k.slow {
		n = slowAttempts
		peers = n
	}
	var servers, us []float64
	for range *rounds + 1 {
		before, err := p.books()
		if err != nil {
			return 0, 0, err
		}
		used := cpuTime()
		if err := attack(k, p.addr, sends, n, peers); err != nil {
			return 0, 0, err
		}
		us = append(us, float64(cpuTime()-used)/float64(n)/1e3)
		after, err := p.settled(before, int64(n))
		if err != nil {
			return 0, 0, err
		}
		refused := after.refused - before.refused
		if float64(refused) < 0.9*float64(n) {
			return 0, 0, fmt.Errorf("%d of %d attempts were refused as %q", refused, n, k.want)
		}
		servers = append(servers, float64(after.ns-before.ns)/float64(refused)/1e3)
	}
	return median(servers[1:]), median(us[1:]), nil // the first warms up
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
