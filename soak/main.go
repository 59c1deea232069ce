// SPDX-License-Identifier: Apache-2.0

// Command soak runs pooled clients against a server on all six transports for
// a long time, with faults, churn and restarts, and checks that at its end
// every message is accounted for and every resource is given back. With -flood
// it shows instead what hostile peers do to the others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	duration time.Duration
	sessions int
	out      string // directory of the samples and the plot; empty: none
	flood    int    // connections of hostile peers; 0: the soak
	ratio    bool   // the flood's claim about p99 is checked
}

func main() {
	if is, err := child(); err != nil {
		fmt.Fprintln(os.Stderr, "soak: child:", err)
		os.Exit(1)
	} else if is {
		return
	}
	var o options
	flag.DurationVar(&o.duration, "duration", 5*time.Minute, "how long it runs")
	flag.IntVar(&o.sessions, "sessions", 5000, "sessions over all transports")
	flag.StringVar(&o.out, "out", "", "`directory` for soak.csv and soak.svg")
	flag.IntVar(&o.flood, "flood", 0, "`connections` that send random and mutated frames instead of faults")
	flag.BoolVar(&o.ratio, "ratio", true, "with -flood, p99 of the other sessions is held to twice that without, over 15 rounds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// run does what the options say. The error has everything that is wrong.
func run(ctx context.Context, out io.Writer, o options) (err error) {
	if o.sessions < len(transports) || o.sessions > maxSessions {
		return fmt.Errorf("-sessions is %d, want %d to %d", o.sessions, len(transports), maxSessions)
	}
	dir, err := os.MkdirTemp("", "getty-soak-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	srv, err := startServer(filepath.Join(dir, "s"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	if o.flood > 0 {
		return flood(ctx, out, o, srv)
	}
	return soak(ctx, out, o, srv)
}
