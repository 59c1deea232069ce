// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command refusals measures what refusing costs: for each limit of a server, the CPU time of the server and of the
// peer that runs into it, for each attempt. Run it in the bench directory: go run ./cmd/refusals [part of a name]. The server is a
// process of its own; the peer is a Go program on plain sockets with what it sends prepared.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	rounds   = 5
	attempts = 1024 // in a round
)

// peers are how many attempts there are at once: so few that each wakes the
// server, and a flood.
var peers = [...]int{4, 64}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "refusals:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "-serve" {
		return serve(args[1])
	}
	fmt.Printf("%s, %d CPUs, %s: median of %d rounds of %d attempts, µs of CPU for each\n\n",
		runtime.Version(), runtime.NumCPU(), time.Now().Format(time.DateOnly), rounds, attempts)
	fmt.Printf("| refusal | server, %d at once | peer | peer / server | server, %d at once | peer | peer / server |\n", peers[0], peers[1])
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|")
	for _, k := range kinds {
		if len(args) == 1 && !strings.Contains(k.name, args[0]) {
			continue
		}
		fmt.Printf("| %s |", k.name)
		for _, n := range peers {
			server, peer, err := measure(k, n)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			fmt.Printf(" %.0f | %.0f | %.1f |", server, peer, peer/server)
		}
		fmt.Println()
	}
	return nil
}

// measure returns the medians in microseconds, with so many peers at once.
func measure(k kind, peers int) (server, peer float64, err error) {
	cmd := exec.Command("/proc/self/exe", "-serve", k.name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() { err = firstError(err, in.Close(), cmd.Wait()) }()
	lines := bufio.NewReader(out)
	addr, err := lines.ReadString('\n')
	if err != nil {
		return 0, 0, err
	}
	addr = strings.TrimSpace(addr)
	if k.holds {
		nc, err := hold(addr)
		if err != nil {
			return 0, 0, err
		}
		defer nc.Close()
	}
	cpu := func() (theirs, ours time.Duration, err error) {
		if _, err = io.WriteString(in, "cpu\n"); err == nil {
			var ns int64
			_, err = fmt.Fscanln(lines, &ns)
			theirs = time.Duration(ns)
		}
		return theirs, cpuTime(), err
	}
	var servers, us []float64
	for range rounds + 1 {
		s0, p0, err := cpu()
		if err != nil {
			return 0, 0, err
		}
		if err := attack(addr, k.sends, peers); err != nil {
			return 0, 0, err
		}
		s1, p1, err := cpu()
		if err != nil {
			return 0, 0, err
		}
		servers = append(servers, float64(s1-s0)/attempts/1e3)
		us = append(us, float64(p1-p0)/attempts/1e3)
	}
	return median(servers[1:]), median(us[1:]), nil // the first warms up
}

// hold connects, and returns when the next one is refused on that account.
func hold(addr string) (net.Conn, error) {
	held, err := net.Dial("tcp", addr)
	for err == nil {
		var nc net.Conn
		if nc, err = net.Dial("tcp", addr); err != nil {
			break
		}
		if refused(nc) && !refused(held) {
			return held, nc.Close()
		}
		_, _ = nc.Close(), held.Close() // it came second
		held, err = net.Dial("tcp", addr)
	}
	return nil, err
}

// refused reports whether a connection is closed soon.
func refused(nc net.Conn) bool {
	_ = nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := nc.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
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

// attack connects again and again, sends, and waits for the end of each connection.
func attack(addr string, sends []byte, peers int) error {
	var wg sync.WaitGroup
	errs := make([]error, peers)
	for i := range errs {
		wg.Go(func() {
			sink := make([]byte, 4<<10)
			for range attempts / peers {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					errs[i] = err
					return
				}
				_ = nc.SetDeadline(time.Now().Add(200 * time.Millisecond)) // some are within the rate
				_, _ = nc.Write(sends)                                     // it may be cut off
				for err == nil {
					_, err = nc.Read(sink)
				}
				_ = nc.Close()
			}
		})
	}
	wg.Wait()
	return firstError(errs...)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
