// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// section starts a part of the report.
func (b *bench) section(title, text string) { b.print("## %s\n\n%s\n\n", title, text) }

// print adds to the report, and shows it at once.
func (b *bench) print(format string, args ...any) {
	fmt.Fprintf(&b.report, format, args...)
	fmt.Printf(format, args...)
}

// method explains how to read the tables.
const method = `The server runs on one core and the load generator on another. Processor time is user and system of
the whole server process, read from the kernel at both ends of the measured time. All contenders of a cell run once
per round in random order, a stopped process in between; a run during which something else took the cores is repeated.
A ratio is the median over the rounds of the subject's processor time per message divided by the contender's in the
same round, with its distribution-free 95 % interval (order statistics). It *falls short* only if the whole interval
lies above 1.03. Under 6 rounds there is no such interval, and what is printed is the range.

Contenders: **c** a level-triggered epoll loop in C, which answers out of its read buffer: the floor. **net** a
goroutine per connection, bufio.Reader, one write for the complete frames that are buffered. **gnet** multicore (one
event loop on one core), one write per OnTraffic. **nbio** non-blocking engine with its defaults, one write per OnData.
**netpoll** defaults (one poller, gopool), zero-copy reader, one flush for the complete frames that are buffered.
**dubbogetty** its ReadWriter and WritePkg, no task pool, log level error. **getty** its defaults. c, net, gnet and nbio
have read buffers of 16 frames where these are large; the others manage theirs. A server that is under 100 % busy while the load is at 100 % is faster than
the load can show in messages/s; processor time per message stays comparable.

WebSocket, all with default buffers: **getty** OnMessage and Send. **gws** its Server and OnMessage. **gorilla**,
**coder** net/http, a goroutine per connection, messages read into a pooled buffer. **gobwas** ws.Upgrader, a goroutine
per connection, a bufio.Reader of 4 KiB, one write for each frame, pooled buffers and compressors. **nbio** nbhttp,
non-blocking, OnMessage. UDP, each with one socket that has a receive buffer of 4 MiB: **getty** sessions, OnMessage
and Send. **net** one goroutine, ReadFromUDPAddrPort and WriteToUDPAddrPort. **gnet**, **nbio** their callbacks.
**c** recvmmsg and sendmmsg of up to 64 packets: the floor.

`

// header describes the circumstances.
func (b *bench) header() {
	b.print("# Benchmarks of getty, %s: %s\n\n", b.began.Format(time.DateOnly), strings.Join(b.only, ", "))
	b.print("Command, in bench/: `go run ./cmd/compare %s`\n\n", strings.Join(os.Args[1:], " "))
	b.print("| | |\n|---|---|\n")
	for _, fact := range b.facts() {
		b.print("| %s | %s |\n", fact[0], fact[1])
	}
	b.print("\n%s", method)
}

// facts lists what the figures depend on.
func (b *bench) facts() [][2]string {
	list := [][2]string{
		{"Go", runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH},
		{"commit", output("git", "describe", "--always", "--dirty")},
		{"kernel", output("uname", "-sr")},
		{"C compiler", strings.SplitN(output("gcc", "--version"), "\n", 2)[0]},
		{"processor", fmt.Sprintf("%s, %d cores", field("/proc/cpuinfo", "model name"), runtime.NumCPU())},
		{"memory", field("/proc/meminfo", "MemTotal")},
		{"congestion control", fileLine("/proc/sys/net/ipv4/tcp_congestion_control")},
	}
	return append(list, b.versions()...)
}

// output returns what a command prints, or why it did not.
func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output() //nolint:gosec // a program of ours
	if err != nil {
		return "unknown"
	}
	return string(bytes.TrimSpace(out))
}

// field returns the first "name: value" of a file in /proc.
func field(path, name string) string {
	f, err := os.Open(path) //nolint:gosec // named by who started this
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if key, value, ok := strings.Cut(sc.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func fileLine(path string) string {
	data, err := os.ReadFile(path) //nolint:gosec // named by who started this
	if err != nil {
		return "unknown"
	}
	return string(bytes.TrimSpace(data))
}

// write leaves the report and the raw figures in the results directory.
func (b *bench) write() error {
	for _, err := range b.failed {
		b.print("Failure, the run was repeated if it was one: %v\n\n", err)
	}
	b.print("Took %v.\n", time.Since(b.began).Round(time.Second))
	if err := os.MkdirAll(b.out, 0o750); err != nil {
		return err
	}
	what := strings.Join(b.only, "-")
	if len(b.only) == len(parts) {
		what = "all"
	}
	base := filepath.Join(b.out, b.began.Format("2006-01-02-150405")+"-"+what)
	raw, err := json.MarshalIndent(map[string]any{
		"command": os.Args, "facts": b.facts(), "runs": b.raw, "idle": b.idleRaw, "pool": b.poolRaw,
	}, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(base+".json", raw, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(base+".md", b.report.Bytes(), 0o600); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "wrote", base+".md", "and", base+".json")
	return nil
}
