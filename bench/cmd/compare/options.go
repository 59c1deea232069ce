// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Every part of the comparison, in the order in which they run.
var parts = []string{"tcp", "rate", "quiet", "tls", "alloc", "idle", "pool", "ws", "ws-idle", "udp", "dropin"}

// options are the flags.
type options struct {
	only, peers, cells []string
	rounds             int
	duration, warmup   time.Duration
	serverCPU, loadCPU int
	nice               int
	share              float64 // of the saturated rate, in the fixed-rate part
	idleConns          int
	idleRounds         int
	poolTimeout        time.Duration
	poolUp, poolAway   time.Duration
	out                string
}

func parseOptions(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	only := fs.String("only", strings.Join(parts, ","), "parts to run")
	peers := fs.String("peers", "", "contenders, getty among them; empty: all")
	cells := fs.String("cells", "", "cells as connections x body x depth, as 100x64x16,1000x64x1; empty: all")
	fs.IntVar(&o.rounds, "rounds", 15, "runs of each contender in each cell; under 6 there is no interval")
	fs.DurationVar(&o.duration, "duration", time.Second, "measured time of a run")
	fs.DurationVar(&o.warmup, "warmup", 300*time.Millisecond, "time before measuring in a run")
	fs.IntVar(&o.serverCPU, "server-cpu", 0, "core of the server")
	fs.IntVar(&o.loadCPU, "load-cpu", 1, "core of the load generator")
	fs.IntVar(&o.nice, "nice", 0, "niceness of servers and load; -20 on a machine that others use too, needs root")
	fs.Float64Var(&o.share, "share", 0.3, "offered rate as a share of what plain net does, saturated")
	fs.IntVar(&o.idleConns, "idle-conns", 10000, "sessions in the idle part")
	fs.IntVar(&o.idleRounds, "idle-rounds", 3, "runs of each contender in the idle part")
	fs.DurationVar(&o.poolTimeout, "pool-timeout", 60*time.Second, "when a pool counts as never full")
	fs.DurationVar(&o.poolUp, "pool-up", 6*time.Second, "how long a pool stands before its server goes away")
	fs.DurationVar(&o.poolAway, "pool-away", 3*time.Second, "how long the server of the pool is away")
	fs.StringVar(&o.out, "out", "results", "directory for the results")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.only, o.peers, o.cells = split(*only), split(*peers), split(*cells)
	for _, part := range o.only {
		if !slices.Contains(parts, part) {
			return o, fmt.Errorf("-only %s: no such part, there are %v", part, parts)
		}
	}
	for _, name := range o.peers {
		if !slices.Contains([]string{"c", "net"}, bare(name)) && library(name) == "std" {
			return o, fmt.Errorf("-peers %s: no such contender, there are c, net and %v, some also behind %v", name, libraries, prefixes)
		}
	}
	for _, c := range o.cells {
		if _, err := parseCell(c); err != nil {
			return o, err
		}
	}
	return o, nil
}

func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

// want reports whether the contender takes part.
func (o options) want(contender string) bool {
	return len(o.peers) == 0 || slices.Contains(o.peers, contender)
}

// cell is one kind of load.
type cell struct {
	Conns int
	Body  int
	Depth int
	TLS   bool
	// WebSocket and UDP say what is spoken instead of frames over TCP; Deflate compresses WebSocket.
	WebSocket, Deflate, UDP bool

	Rate  float64 // messages per second; 0: saturated
	Quiet int     // connections beside the saturating ones that send now and then
}

func (c cell) String() string {
	size := fmt.Sprintf("%d B", c.Body)
	if c.Body >= 1024 {
		size = fmt.Sprintf("%d KiB", c.Body>>10)
	}
	s := fmt.Sprintf("%s, %d connections, %d in flight", size, c.Conns, c.Depth)
	if c.UDP {
		s = fmt.Sprintf("%s, %d flows, %d in flight", size, c.Conns, c.Depth)
	}
	if c.Deflate {
		s += ", deflate"
	}
	if c.Rate > 0 {
		s = fmt.Sprintf("%s, %d connections, %.0f messages/s", size, c.Conns, c.Rate)
	}
	if c.Quiet > 0 {
		s += fmt.Sprintf(", %d quiet connections beside", c.Quiet)
	}
	return s
}

// key is the form that the -cells flag takes.
func (c cell) key() string { return fmt.Sprintf("%dx%dx%d", c.Conns, c.Body, c.Depth) }

func parseCell(s string) (c cell, err error) {
	if _, err := fmt.Sscanf(s, "%dx%dx%d", &c.Conns, &c.Body, &c.Depth); err != nil {
		return c, fmt.Errorf("-cells %s: want connections x body x depth, as 100x64x16", s)
	}
	return c, nil
}

// pick returns the cells of a part that -cells leaves.
func (o options) pick(all []cell) []cell {
	if len(o.cells) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(c cell) bool { return !slices.Contains(o.cells, c.key()) })
}

func saturatedCells() []cell {
	var cells []cell
	for _, body := range []int{64, 16 << 10} {
		for _, depth := range []int{1, 16} {
			for _, conns := range []int{100, 1000} {
				cells = append(cells, cell{Conns: conns, Body: body, Depth: depth})
			}
		}
	}
	return cells
}
