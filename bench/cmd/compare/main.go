// SPDX-License-Identifier: Apache-2.0

// Command compare measures getty against its peers and writes the results as Markdown and JSON. Run it in the bench
// directory: go run ./cmd/compare. It needs Linux, two cores, gcc, taskset and nice.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// bench is one invocation.
type bench struct {
	options
	dir    string // of the binaries
	began  time.Time
	report bytes.Buffer

	raw     []sample
	idleRaw []idleSample
	poolRaw []poolSample
	failed  []error // runs and parts
}

func main() {
	runtime.LockOSThread() // children are killed when the thread dies that started them, see launch
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	opts, err := parseOptions(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "getty-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: opts, dir: dir, began: time.Now()}
	if err := b.build(); err != nil {
		return err
	}
	b.header()
	for _, part := range parts {
		if !slices.Contains(b.only, part) {
			continue
		}
		do := map[string]func() error{
			"tcp": b.tcp, "rate": b.rate, "quiet": b.quiet, "tls": b.tls, "alloc": b.alloc, "idle": b.idle, "pool": b.pool,
			"ws": b.ws, "ws-idle": b.wsIdle, "udp": b.udp,
			"dropin": b.gain,
		}[part]
		if err := do(); err != nil { // the other parts are still worth measuring
			b.print("Failed: %v\n\n", err)
			b.failed = append(b.failed, fmt.Errorf("%s: %w", part, err))
		}
	}
	return errors.Join(append(b.failed, b.write())...)
}
