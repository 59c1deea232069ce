// SPDX-License-Identifier: Apache-2.0

// Command check runs the checks of all modules, one line each, and counts them together with the tests. A failed check
// does not keep the others from running. It is started by make in the root of the repository; arguments are the kinds
// of checks to run, and without any all of them are.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	lint, gofumpt string // the programs
	fuzzTime      time.Duration
	kinds         []string
}

// result is what a step has found.
type result struct {
	passed, failed, skipped int
	output                  string // about what failed
}

func (r *result) add(other result) {
	r.passed += other.passed
	r.failed += other.failed
	r.skipped += other.skipped
}

func main() {
	var o options
	flag.StringVar(&o.lint, "lint", "golangci-lint", "`path` of golangci-lint")
	flag.StringVar(&o.gofumpt, "gofumpt", "gofumpt", "`path` of gofumpt")
	flag.DurationVar(&o.fuzzTime, "fuzztime", 3*time.Second, "how long a fuzz target runs")
	flag.Parse()
	o.kinds = flag.Args()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := check(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
	}
	if !ok {
		os.Exit(1)
	}
}

// check runs the steps that are asked for. After an interrupt there is no summary.
func check(ctx context.Context, o options) (ok bool, err error) {
	root, err := os.Getwd()
	if err != nil {
		return false, err
	}
	repo, err := scan(root)
	if err != nil {
		return false, err
	}
	if o.lint, err = filepath.Abs(o.lint); err != nil {
		return false, err
	}
	if o.gofumpt, err = filepath.Abs(o.gofumpt); err != nil {
		return false, err
	}
	logs, err := os.MkdirTemp("", "getty-check-")
	if err != nil {
		return false, err
	}

	todo := slices.DeleteFunc(steps(repo, o), func(s step) bool { return len(o.kinds) > 0 && !slices.Contains(o.kinds, s.kind) })
	total := runAll(ctx, todo, runner{root: root, logs: logs})
	if ctx.Err() != nil {
		return false, fmt.Errorf("interrupted, the logs are in %s", logs)
	}
	if total.failed > 0 {
		fmt.Println("the logs are in", logs)
	} else if err := os.RemoveAll(logs); err != nil {
		return false, err
	}
	fmt.Printf("%d passed, %d failed\n", total.passed, total.failed)
	return total.failed == 0, nil
}

// runAll runs the steps in order, those that mostly wait two at a time, and reports each.
func runAll(ctx context.Context, todo []step, r runner) (total result) {
	var mu sync.Mutex
	run := func(s step) {
		began := time.Now()
		res := s.run(ctx, r)
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil {
			report(s, res, time.Since(began))
			total.add(res)
		}
	}
	for len(todo) > 0 && ctx.Err() == nil {
		n := slices.IndexFunc(todo, func(s step) bool { return !s.waits() })
		if n < 0 {
			n = len(todo)
		}
		lane := make(chan step)
		var lanes sync.WaitGroup
		for range 2 {
			lanes.Go(func() {
				for s := range lane {
					run(s)
				}
			})
		}
		for _, s := range todo[:n] {
			lane <- s
		}
		close(lane)
		lanes.Wait()
		if todo = todo[n:]; len(todo) > 0 {
			run(todo[0])
			todo = todo[1:]
		}
	}
	return total
}

// report prints the line of a step, and under it what is to be said about a failure.
func report(s step, r result, took time.Duration) {
	word := "ok  "
	if r.failed > 0 {
		word = "FAIL"
	}
	line := fmt.Sprintf("%s %6.1fs  %s", word, took.Seconds(), s.name)
	if r.passed+r.failed+r.skipped != 1 {
		line += fmt.Sprintf("  (%d passed, %d failed, %d skipped)", r.passed, r.failed, r.skipped)
	}
	fmt.Println(line)
	if r.failed > 0 {
		lines := strings.Split(strings.TrimSpace(r.output), "\n")
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "go: downloading ") })
		for _, l := range middleCut(lines) {
			fmt.Println("    " + l)
		}
	}
}

// middleCut shortens what nobody reads in full: the log has all of it.
func middleCut(lines []string) []string {
	const head, tail = 150, 50
	if len(lines) <= head+tail {
		return lines
	}
	cut := fmt.Sprintf("[%d lines left out]", len(lines)-head-tail)
	return slices.Concat(lines[:head], []string{cut}, lines[len(lines)-tail:])
}
