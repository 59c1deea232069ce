// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getty-net/getty/cmd/getty/internal/demo"
)

// patience is long enough for a loaded machine and the race detector.
const patience = 60 * time.Second

// process is a running program whose output is read line by line.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *output
	stderr *output
	exit   chan int // gets the exit status, after both outputs have ended
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), exit: make(chan int, 1)}
	in, err1 := p.cmd.StdinPipe()
	out, err2 := p.cmd.StdoutPipe()
	errs, err3 := p.cmd.StderrPipe()
	if err := errors.Join(err1, err2, err3, p.cmd.Start()); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	p.stdin, p.stdout, p.stderr = in, newOutput(), newOutput()
	go func() {
		var readers sync.WaitGroup
		readers.Go(func() { p.stdout.read(out) })
		readers.Go(func() { p.stderr.read(errs) })
		// A child that holds on to an output keeps this from ending.
		readers.Wait()
		_ = p.cmd.Wait()
		p.exit <- p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = in.Close()
		p.wait()
		if t.Failed() {
			t.Logf("%s %s\nstdout:\n%sstderr:\n%s", name, strings.Join(args, " "), p.stdout.text(), p.stderr.text())
		}
	})
	return p
}

// cli starts the command under test.
func cli(t *testing.T, args ...string) *process {
	t.Helper()
	return start(t, binary, args...)
}

// wait returns the exit status.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case code := <-p.exit:
		p.exit <- code
		return code
	case <-time.After(patience):
		p.t.Errorf("%s does not end", p.cmd.Path)
		return -1
	}
}

// ends checks the exit status.
func (p *process) ends(want int) {
	p.t.Helper()
	if got := p.wait(); got != want {
		p.t.Fatalf("exit status %d, want %d", got, want)
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) write(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, s); err != nil {
		p.t.Fatal(err)
	}
}

// output is what a process has printed so far.
type output struct {
	mu      sync.Mutex
	lines   []string
	next    int           // of line
	changed chan struct{} // closed by the next line, and the end
	ended   bool
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 32<<20)
	for lines.Scan() {
		o.mu.Lock()
		o.lines = append(o.lines, lines.Text())
		close(o.changed)
		o.changed = make(chan struct{})
		o.mu.Unlock()
	}
	o.mu.Lock()
	o.ended = true
	close(o.changed)
	o.mu.Unlock()
}

// line waits for the next line that has what in it, skipping others.
func (o *output) line(t *testing.T, what string) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		o.mu.Lock()
		for o.next < len(o.lines) {
			o.next++
			if l := o.lines[o.next-1]; strings.Contains(l, what) {
				o.mu.Unlock()
				return l
			}
		}
		changed, ended := o.changed, o.ended
		o.mu.Unlock()
		if ended {
			t.Fatalf("output ended without %q", what)
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no line with %q", what)
		}
	}
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.lines) == 0 {
		return ""
	}
	return strings.Join(o.lines, "\n") + "\n"
}

// certificate writes a certificate for the loopback address and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	certPEM, keyPEM, err := demo.SelfSigned()
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	err = errors.Join(err, os.WriteFile(cert, []byte(certPEM), 0o600), os.WriteFile(key, []byte(keyPEM), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// transport is where an echo listens, and how a client gets there.
type transport struct {
	name, url string
	dial      []string // flags of getty dial
}

// streams are the transports that can be compressed.
var streams = []string{"tcp", "tls", "unix"}

// echoServer starts getty echo on the streams and on WebSocket.
func echoServer(t *testing.T, flags ...string) (p *process, on []transport, ca string) {
	t.Helper()
	return echoServerOn(t, append(slices.Clone(streams), "ws", "wss"), flags...)
}

// echoServerOn starts getty echo on the named transports.
func echoServerOn(t *testing.T, names []string, flags ...string) (p *process, on []transport, ca string) {
	t.Helper()
	cert, key := certificate(t)
	args := append([]string{"echo", "--cert", cert, "--key", key}, flags...)
	for _, name := range names {
		addr := "127.0.0.1:0"
		if name == "unix" {
			addr = socket(t)
		}
		args = append(args, name+"://"+addr)
	}
	p = cli(t, args...)
	for _, name := range names {
		url := strings.TrimPrefix(p.stdout.line(t, "listening on "+name+"://"), "listening on ")
		tr := transport{name: name, url: url}
		if name == "tls" || name == "wss" {
			tr.dial = []string{"--ca", cert}
		}
		on = append(on, tr)
	}
	return p, on, cert
}

// socket is a path that is short enough for a Unix socket.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "getty-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}
