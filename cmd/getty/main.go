// SPDX-License-Identifier: Apache-2.0

// Command getty tries the library out from a shell: an echo server, a client
// that reconnects, and a demonstration that kills its own server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/getty-net/getty"
)

// The exit statuses.
const (
	statusOK    = 0
	statusError = 1
	statusUsage = 2 // wrong usage, and what is not built yet
)

// stdio is what a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// command is a subcommand. run parses the arguments itself.
type command struct {
	name string
	args string // of its usage line
	help string
	run  func(ctx context.Context, std stdio, cmd command, args []string) error
	// hidden commands are for this program's own use.
	hidden bool
}

// commands is a function, not a variable: help is one of them and lists them.
func commands() []command {
	return []command{
		{name: "echo", args: echoArgs, help: "serve an echo on each URL", run: runEcho},
		{name: "dial", args: dialArgs, help: "send lines of standard input, print the answers", run: runDial},
		{name: "demo", args: demoArgs, help: "watch clients lose their server and get it back", run: runDemo},
		{name: "version", help: "print the version", run: runVersion},
		{name: "help", help: "print this", run: runHelp},
		{name: demoServer, run: runDemoServer, hidden: true},
	}
}

func main() {
	// A second signal ends the process the hard way: the first one has
	// restored the default.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, stdio{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:]))
}

// run finds the command, runs it and turns its error into an exit status.
func run(ctx context.Context, std stdio, args []string) int {
	if len(args) == 0 {
		printUsage(std.err)
		return statusUsage
	}
	name := args[0]
	if name == "-h" || name == "-help" || name == "--help" {
		name = "help"
	}
	for _, c := range commands() {
		if c.name == name {
			return report(std, c, c.run(ctx, std, c, args[1:]))
		}
	}
	_, _ = fmt.Fprintf(std.err, "getty: no command %q, see getty help\n", name)
	return statusUsage
}

// usageError is a mistake in the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// errHelp is returned by a command that was asked for its help and gave it.
var errHelp = errors.New("help")

// report prints err in one line. Wrong usage gets the command's usage line too.
func report(std stdio, c command, err error) int {
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, errHelp):
		return statusOK
	case errors.As(err, &wrong):
		_, _ = fmt.Fprintf(std.err, "getty %s: %v\nusage: getty %s (getty %s --help lists the flags)\n", c.name, err, c.usage(), c.name)
		return statusUsage
	}
	// Every error of the library begins with its name.
	_, _ = fmt.Fprintf(std.err, "getty %s: %s\n", c.name, strings.TrimPrefix(oneLine(err), "getty: "))
	if errors.As(err, new(*getty.ConfigError)) || errors.Is(err, getty.ErrUnsupported) {
		return statusUsage
	}
	return statusError
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func (c command) usage() string { return strings.TrimSpace(c.name + " " + c.args) }

func printUsage(w io.Writer) {
	_, _ = fmt.Fprint(w, "getty tries out the network library github.com/getty-net/getty.\n\nusage:\n")
	for _, c := range commands() {
		if !c.hidden {
			_, _ = fmt.Fprintf(w, "  getty %-9s %s\n", c.name, c.help)
		}
	}
	_, _ = fmt.Fprint(w, "\nURLs are tcp://host:port, tls://host:port, unix:///path, udp://host:port, ws://host:port/path and\n"+
		"wss://host:port/path; port 0 lets the system choose.\n"+
		"getty COMMAND --help lists the flags of a command.\n")
}

func runHelp(_ context.Context, std stdio, _ command, _ []string) error {
	printUsage(std.out)
	return nil
}

func runVersion(_ context.Context, std stdio, _ command, _ []string) error {
	version, goVersion := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, " "+info.GoVersion
	}
	_, err := fmt.Fprintf(std.out, "getty %s%s\n", version, goVersion)
	return err
}
