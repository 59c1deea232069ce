// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/getty-net/getty/cmd/getty/internal/demo"
)

const (
	demoArgs = "[--for DURATION]"
	// demoServer is the hidden command in which the demo's server runs.
	demoServer = "demo-server"
	// shortestDemo has time for a message on every transport.
	shortestDemo = time.Second
)

func runDemo(ctx context.Context, std stdio, cmd command, args []string) error {
	fs := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	d := fs.Duration("for", 20*time.Second, "how `LONG` it runs; 0: until Ctrl-C")
	if err := parse(fs, std, cmd, args); err != nil {
		return err
	}
	if fs.NArg() > 0 || (*d != 0 && *d < shortestDemo) {
		return usageError(fmt.Sprintf("want no arguments, and --for with 0 or at least %v", shortestDemo))
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own executable: %w", err)
	}
	return demo.Run(ctx, std.out, *d, []string{self, demoServer})
}

func runDemoServer(_ context.Context, std stdio, _ command, _ []string) error {
	return demo.Serve(std.in, std.out)
}
