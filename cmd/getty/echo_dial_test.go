// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestEchoAndDial(t *testing.T) {
	for _, codec := range []string{"raw", "line", "len32", "varint"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			srv, on, _ := echoServer(t, "--codec", codec)
			for _, tr := range on {
				args := append([]string{"dial", "--codec", codec, "--wait", "5s"}, tr.dial...)
				c := cli(t, append(args, tr.url)...)
				c.stderr.line(t, "session 1 open to "+tr.url)
				for _, line := range []string{"hello", "", "world"} {
					c.write(line + "\n")
					if got := c.stdout.line(t, ""); got != line {
						t.Errorf("%s: got %q, want %q", tr.name, got, line)
					}
				}
				c.signal(syscall.SIGTERM)
				c.ends(statusOK)
			}
			srv.signal(syscall.SIGTERM)
			srv.ends(statusOK)
		})
	}
}

// A signal is a clean end on both sides, also with sessions open.
func TestEndWithOpenSessions(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			srv, on, _ := echoServer(t, "--codec", "line")
			var clients []*process
			for _, tr := range on {
				c := cli(t, append(append([]string{"dial", "--codec", "line"}, tr.dial...), tr.url)...)
				c.write("hello\n")
				c.stdout.line(t, "hello")
				clients = append(clients, c)
			}
			srv.signal(sig)
			srv.ends(statusOK)
			for _, c := range clients {
				c.stderr.line(t, "session 1 closed by the peer")
				c.signal(sig)
			}
			for _, c := range clients {
				c.ends(statusOK)
			}
			if got := srv.stderr.text(); got != "" {
				t.Errorf("standard error is %q", got)
			}
		})
	}
}

func TestEchoAndDialCompressed(t *testing.T) {
	for _, method := range []string{"none", "flate", "snappy", "zstd"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			srv, on, _ := echoServerOn(t, streams, "--codec", "line", "--compress", method)
			for _, tr := range on {
				args := append([]string{"dial", "--codec", "line", "--compress", method, "--wait", "5s"}, tr.dial...)
				c := cli(t, append(args, tr.url)...)
				for _, line := range []string{"hello", "", "world"} {
					c.write(line + "\n")
					if got := c.stdout.line(t, ""); got != line {
						t.Errorf("%s: got %q, want %q", tr.name, got, line)
					}
				}
				c.signal(syscall.SIGTERM)
				c.ends(statusOK)
			}
			// Others are told what is wrong.
			other := map[string]string{"none": "flate", "flate": "snappy", "snappy": "zstd", "zstd": "flate"}[method]
			c := cli(t, "dial", "--codec", "line", "--compress", other, on[0].url)
			if method != "none" {
				c.ends(statusError)
				if got, want := c.stderr.text(), other+" here, "+method+" at the peer"; !strings.Contains(got, want) {
					t.Errorf("standard error is %q, without %q", got, want)
				}
			}
			srv.signal(syscall.SIGTERM)
			srv.ends(statusOK)
		})
	}
}

func TestEchoAndDialUDP(t *testing.T) {
	t.Parallel()
	srv := cli(t, "echo", "--codec", "line", "udp://127.0.0.1:0")
	url := strings.TrimPrefix(srv.stdout.line(t, "listening on "), "listening on ")
	c := cli(t, "dial", "--codec", "line", "--wait", "5s", url)
	c.stderr.line(t, "session 1 open to "+url)
	c.write("hello\n")
	c.stdout.line(t, "hello")
	c.signal(syscall.SIGTERM)
	c.ends(statusOK)
	srv.signal(syscall.SIGTERM)
	srv.ends(statusOK)
}

// An answer that cannot be printed is an error, not a reason to reconnect.
func TestDialWithoutOutput(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("the system has no device that is full")
	}
	_, on, _ := echoServer(t, "--codec", "line")
	for _, tr := range on {
		c := start(t, "sh", append([]string{"-c", `exec "$0" "$@" >/dev/full`, binary, "dial", "--codec", "line"}, append(tr.dial, tr.url)...)...)
		c.write("hello\n")
		c.stderr.line(t, "standard output")
		c.ends(statusError)
	}
}

// The largest messages of common test suites have 16 MiB.
func TestEchoOfSixteenMegabytes(t *testing.T) {
	t.Parallel()
	_, on, _ := echoServer(t, "--codec", "line")
	line := strings.Repeat("x", 16<<20-1)
	for _, tr := range on {
		c := cli(t, append(append([]string{"dial", "--codec", "line"}, tr.dial...), tr.url)...)
		c.write(line + "\n")
		if got := c.stdout.line(t, "x"); got != line {
			t.Errorf("%s: %d bytes came back", tr.name, len(got))
		}
		c.signal(syscall.SIGTERM)
		c.ends(statusOK)
	}
}

// All of a piped input comes back, over a pool too, although it ends at once.
func TestDialDrains(t *testing.T) {
	t.Parallel()
	const lines = 2000
	_, on, _ := echoServer(t, "--codec", "len32", "--workers", "2")
	for _, tr := range on {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"dial", "--codec", "len32", "--pool", "3", "--wait", "3s"}, tr.dial...)
			c := cli(t, append(args, tr.url)...)
			go func() {
				_, _ = c.stdin.Write([]byte(strings.Repeat("a line of the input\n", lines)))
				_ = c.stdin.Close()
			}()
			c.ends(statusOK)
			if got := strings.Count(c.stdout.text(), "a line of the input\n"); got != lines {
				t.Errorf("%d lines came back, want %d", got, lines)
			}
		})
	}
}

// An answer that comes in pieces, for longer than --wait, is printed.
func TestDialWaitsForWhatIsComing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		_, _ = nc.Read(make([]byte, 100))
		for _, piece := range strings.SplitAfter("\x00\x00\x00\x16one piece of it a time", " ") {
			_, _ = io.WriteString(nc, piece)
			time.Sleep(700 * time.Millisecond) // within --wait, and all of them are not
		}
		_, _ = nc.Read(make([]byte, 100))
	}()
	c := cli(t, "dial", "--codec", "len32", "--wait", "2s", "tcp://"+l.Addr().String())
	c.write("a question\n")
	_ = c.stdin.Close()
	c.ends(statusOK)
	if got := c.stdout.text(); got != "one piece of it a time\n" {
		t.Errorf("it prints %q", got)
	}
}

func TestDialReconnects(t *testing.T) {
	t.Parallel()
	srv := cli(t, "echo", "--codec", "line", "tcp://127.0.0.1:0")
	url := strings.TrimPrefix(srv.stdout.line(t, "listening on "), "listening on ")
	c := cli(t, "dial", "--codec", "line", url)
	c.write("one\n")
	c.stdout.line(t, "one")

	srv.signal(syscall.SIGKILL)
	srv.wait()
	c.stderr.line(t, "session 1 closed")
	c.stderr.line(t, "reconnecting to "+url)
	srv = cli(t, "echo", "--codec", "line", url)
	srv.stdout.line(t, "listening on "+url)
	c.stderr.line(t, "open to "+url)
	c.write("two\n")
	c.stdout.line(t, "two")

	_ = c.stdin.Close()
	c.ends(statusOK)
	srv.signal(syscall.SIGINT)
	srv.ends(statusOK)
}

func TestDialVerifies(t *testing.T) {
	t.Parallel()
	_, on, ca := echoServer(t)
	url := on[1].url
	tests := map[string]struct {
		flags []string
		want  int
	}{
		"not trusted":  {nil, statusError},
		"wrong name":   {[]string{"--ca", ca, "--name", "example.com"}, statusError},
		"right name":   {[]string{"--ca", ca, "--name", "localhost"}, statusOK},
		"not verified": {[]string{"--insecure"}, statusOK},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := cli(t, append(append([]string{"dial", "--wait", "1ms"}, tt.flags...), url)...)
			_ = c.stdin.Close()
			c.ends(tt.want)
			if tt.want == statusError {
				oneErrorLine(t, c)
			}
		})
	}
}

func oneErrorLine(t *testing.T, p *process) {
	t.Helper()
	if got := p.stderr.text(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "getty") {
		t.Errorf("standard error is %q, want one line from getty", got)
	}
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	tests := map[string]struct {
		args  []string
		want  int
		usage bool // after the line with the error
	}{
		"no arguments":       {nil, statusUsage, true},
		"unknown command":    {[]string{"nonsense"}, statusUsage, false},
		"no URL":             {[]string{"echo"}, statusUsage, true},
		"unknown flag":       {[]string{"echo", "--nonsense", "tcp://:0"}, statusUsage, true},
		"unknown codec":      {[]string{"echo", "--codec", "morse", "tcp://:0"}, statusUsage, true},
		"unknown scheme":     {[]string{"echo", "morse://:0"}, statusUsage, false},
		"bad port":           {[]string{"echo", "tcp://:99999"}, statusUsage, false},
		"bad limit":          {[]string{"echo", "--max-message", "-1", "tcp://:0"}, statusUsage, false},
		"udp without port":   {[]string{"echo", "udp://127.0.0.1"}, statusUsage, false},
		"wss without a key":  {[]string{"echo", "wss://127.0.0.1:0"}, statusUsage, true},
		"compression":        {[]string{"echo", "--compress", "zstd", "tcp://"}, statusUsage, false},
		"bad compression":    {[]string{"echo", "--compress", "gzip", "tcp://:0"}, statusUsage, true},
		"compressed udp":     {[]string{"echo", "--compress", "zstd", "udp://127.0.0.1:0"}, statusUsage, false},
		"dial and gzip":      {[]string{"dial", "--compress", "gzip", "tcp://:0"}, statusUsage, true},
		"no compression":     {[]string{"echo", "--compress", "none", "tcp://"}, statusUsage, false},
		"no certificate":     {[]string{"echo", "tls://127.0.0.1:0"}, statusUsage, true},
		"no key":             {[]string{"echo", "--cert", cert, "tls://127.0.0.1:0"}, statusUsage, true},
		"unreadable key":     {[]string{"echo", "--cert", cert, "--key", key + "x", "tls://127.0.0.1:0"}, statusError, false},
		"cannot listen":      {[]string{"echo", "unix://" + cert + "/s"}, statusError, false},
		"dial nothing":       {[]string{"dial"}, statusUsage, true},
		"dial udp nowhere":   {[]string{"dial", "udp://nowhere.invalid:1"}, statusError, false},
		"dial unreachable":   {[]string{"dial", "unix://" + cert + "s"}, statusError, false},
		"unreadable CA":      {[]string{"dial", "--ca", cert + "x", "tls://127.0.0.1:1"}, statusError, false},
		"empty CA":           {[]string{"dial", "--ca", key, "tls://127.0.0.1:1"}, statusError, false},
		"demo with argument": {[]string{"demo", "now"}, statusUsage, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := cli(t, tt.args...)
			p.ends(tt.want)
			if p.stdout.text() != "" {
				t.Errorf("standard output is %q", p.stdout.text())
			}
			if !tt.usage {
				oneErrorLine(t, p)
			} else if !strings.Contains(p.stderr.text(), "usage:") {
				t.Errorf("no usage in %q", p.stderr.text())
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"help": "getty dial", "--help": "getty dial", "-h": "getty dial", "version": "getty ",
		"echo --help": "--max-message BYTES", "dial -h": "--ca FILE", "demo --help": "--for LONG",
	}
	for args, want := range tests {
		p := cli(t, strings.Fields(args)...)
		p.ends(statusOK)
		if !strings.Contains(p.stdout.text(), want) || p.stderr.text() != "" {
			t.Errorf("getty %s: %q and %q, want %q", args, p.stdout.text(), p.stderr.text(), want)
		}
	}
}
