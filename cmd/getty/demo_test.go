// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const adds = "It adds up: every message was acknowledged exactly once, or its sender was told."

func TestDemo(t *testing.T) {
	transports := []string{"tcp", "tls", "unix", "udp", "ws", "wss"}
	p := cli(t, "demo", "--for", "6s")
	dir := socketDir(t, p)
	p.ends(statusOK)
	noDir(t, dir)

	var steps []string
	rows := make(map[string]int)
	sums := make(map[string][]int)
	for line := range strings.Lines(p.stdout.text()) {
		f := strings.Fields(line)
		switch {
		case strings.Contains(line, "server killed"), strings.Contains(line, "server back"):
			steps = append(steps, f[4])
		case strings.Contains(line, "/8 "):
			if len(f) == 8 { // with the time
				f = f[2:]
			}
			rows[f[0]]++
			steps = append(steps, f[0]+" "+f[1])
			if f[2] != "0" {
				steps = append(steps, f[0]+" flows")
			}
		case len(f) == 8 && slices.Contains(transports, f[0]):
			sums[f[0]] = numbers(t, f[1:])
		}
	}
	for _, name := range transports {
		if rows[name] < 3 {
			t.Errorf("%d rows of %s", rows[name], name)
		}
		// Only packets time out, and while the server is away they do.
		s := sums[name]
		if len(s) != 7 || s[1] == 0 || s[0] != s[1]+s[2]+s[3]+s[4] || (s[4] > 0) != (name == "udp") || s[5] != 0 || s[6] != 0 {
			t.Errorf("sum of %s: %v", name, s)
		}
		away := name + " 0/8"
		if name == "udp" {
			away = "udp 8/8" // it does not notice
		}
		inOrder(t, steps, name+" 8/8", name+" flows", "killed", away, "back", name+" 8/8", name+" flows")
	}
	if !strings.Contains(p.stdout.text(), adds) || p.stderr.text() != "" {
		t.Error("no good end")
	}
}

// inOrder checks that steps has what, in this order, among others.
func inOrder(t *testing.T, steps []string, what ...string) {
	t.Helper()
	for _, s := range steps {
		if len(what) > 0 && s == what[0] {
			what = what[1:]
		}
	}
	if len(what) > 0 {
		t.Errorf("%q does not come in its place: %q", what[0], steps)
	}
}

// Ctrl-C reaches every process of the terminal: the server must leave the end
// to its parent.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	p := cli(t, "demo", "--for", "0")
	pid := serverPID(t, p)
	dir := socketDir(t, p)
	p.stdout.line(t, " unix ")
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.stdout.line(t, " unix ")
	p.signal(syscall.SIGINT)
	p.ends(statusOK) // with the server, which has the same standard error
	p.stdout.line(t, adds)
	noDir(t, dir)
}

// An end while the server is away is no different.
func TestDemoInterruptedWithoutServer(t *testing.T) {
	t.Parallel()
	p := cli(t, "demo", "--for", "6s")
	p.stdout.line(t, "server killed")
	p.signal(syscall.SIGTERM)
	p.ends(statusOK)
	p.stdout.line(t, adds)
	if strings.Contains(p.stdout.text(), "server back") {
		t.Error("it went on")
	}
}

// The server does not outlive its parent, even if that is killed.
func TestDemoKilled(t *testing.T) {
	t.Parallel()
	p := cli(t, "demo", "--for", "0")
	dir := socketDir(t, p)
	p.stdout.line(t, " unix ")
	p.signal(syscall.SIGKILL)
	p.ends(-1) // when nobody has its standard error any more
	noDir(t, dir)
}

// A server that dies by itself is an error, and the sum is still there.
func TestDemoServerDies(t *testing.T) {
	t.Parallel()
	p := cli(t, "demo", "--for", "0")
	pid := serverPID(t, p)
	p.stdout.line(t, " unix ")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.ends(statusError)
	p.stdout.line(t, adds)
	oneErrorLine(t, p)
}

// serverPID is from the demo's first line.
func serverPID(t *testing.T, p *process) int {
	t.Helper()
	_, after, _ := strings.Cut(p.stdout.line(t, "A server in process "), "process ")
	digits, _, _ := strings.Cut(after, ",")
	return numbers(t, []string{digits})[0]
}

func socketDir(t *testing.T, p *process) string {
	t.Helper()
	_, path, _ := strings.Cut(p.stdout.line(t, "unix://"), "unix://")
	return filepath.Dir(path)
}

func noDir(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", dir, err)
	}
}

func numbers(t *testing.T, fields []string) []int {
	t.Helper()
	var ns []int
	for _, f := range fields {
		n, err := strconv.Atoi(strings.ReplaceAll(f, ",", ""))
		if err != nil {
			t.Fatal(err)
		}
		ns = append(ns, n)
	}
	return ns
}
