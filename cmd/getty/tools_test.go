// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Clients that nobody here wrote. They are Debian's packages netcat-openbsd,
// socat and openssl.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") == "true":
		t.Fatalf("%v: install netcat-openbsd, socat and openssl", err)
	default:
		t.Skip(err)
	}
	return ""
}

func TestNetcatAndSocat(t *testing.T) {
	t.Parallel()
	_, raw, ca := echoServer(t)
	_, framed, _ := echoServer(t, "--codec", "len32")
	addr := func(tr transport) string { return strings.TrimPrefix(tr.url, tr.name+"://") }
	host, port, _ := strings.Cut(addr(raw[0]), ":")
	framedHost, framedPort, _ := strings.Cut(addr(framed[0]), ":")
	const text, frame = "hello\nworld\n", "\x00\x00\x00\x05hello\x00\x00\x00\x00\x00\x00\x00\x01\n"
	tests := map[string]struct {
		tool  string
		args  []string
		input string
	}{
		"nc tcp":       {"nc", []string{"-N", host, port}, text},
		"nc unix":      {"nc", []string{"-N", "-U", addr(raw[2])}, text},
		"nc len32":     {"nc", []string{"-N", framedHost, framedPort}, frame},
		"socat tcp":    {"socat", []string{"-t30", "-", "TCP:" + addr(raw[0])}, text},
		"socat unix":   {"socat", []string{"-t30", "-", "UNIX-CONNECT:" + addr(raw[2])}, text},
		"socat big":    {"socat", []string{"-t30", "-", "TCP:" + addr(raw[0])}, strings.Repeat(text, 50_000)},
		"socat tls":    {"socat", []string{"-t30", "-", "OPENSSL:" + addr(raw[1]) + ",cafile=" + ca}, text},
		"socat framed": {"socat", []string{"-t30", "-", "UNIX-CONNECT:" + addr(framed[2])}, frame},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(tool(t, tt.tool), tt.args...)
			cmd.Stdin = strings.NewReader(tt.input)
			out, err := cmd.Output()
			if err != nil || string(out) != tt.input {
				t.Errorf("%d bytes came back of %d, %v: %.100q", len(out), len(tt.input), err, out)
			}
		})
	}
}

func TestOpenSSL(t *testing.T) {
	t.Parallel()
	_, on, ca := echoServer(t, "--codec", "line")
	addr := strings.TrimPrefix(on[1].url, "tls://")
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		c := start(t, tool(t, "openssl"), "s_client", "-quiet", "-no_ign_eof", version,
			"-CAfile", ca, "-verify_return_error", "-verify_ip", "127.0.0.1", "-connect", addr)
		for _, line := range []string{"hello", "world"} {
			c.write(line + "\n")
			c.stdout.line(t, line)
		}
		_ = c.stdin.Close()
		c.ends(0)
	}
}
