// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/getty-net/getty/bench/internal/control"
)

// process is a child that is talked to line by line.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// launch starts a child on one core. Both nice and taskset replace themselves by what they start, so the process
// id is the child's own.
func (b *bench) launch(cpu int, bin string, args ...string) (*process, error) {
	line := append([]string{"-n", strconv.Itoa(b.nice), "taskset", "-c", strconv.Itoa(cpu), bin}, args...)
	p := &process{cmd: exec.Command("nice", line...)} //nolint:gosec // a program of ours
	p.cmd.Stderr = &p.stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewReader(out)
	// A session of its own, since the kernel schedules sessions as groups and niceness counts only inside of one;
	// and no child outlives the orchestrator, which a stopped one would.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", bin, err)
	}
	b.favour(p.cmd.Process.Pid)
	return p, nil
}

// favour sets the niceness of a child's whole session, where the kernel has such a thing (see sched(7), autogroup).
func (b *bench) favour(pid int) {
	if b.nice != 0 {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), []byte(strconv.Itoa(b.nice)), 0)
	}
}

// line reads one line from the child.
func (p *process) line() ([]byte, error) {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("%v: %w: %s", p.cmd.Args, err, bytes.TrimSpace(p.stderr.Bytes()))
	}
	return bytes.TrimSpace(line), nil
}

// decode reads one line of JSON from the child.
func (p *process) decode(v any) error {
	line, err := p.line()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("%v: %w in %q", p.cmd.Args, err, line)
	}
	return nil
}

// proceed lets a child go on that waits for a line.
func (p *process) proceed() error {
	_, err := io.WriteString(p.in, "\n")
	return err
}

// wait waits for a child that ends by itself.
func (p *process) wait() error {
	err := errors.Join(p.in.Close(), p.cmd.Wait())
	if err != nil {
		return fmt.Errorf("%v: %w: %s", p.cmd.Args, err, bytes.TrimSpace(p.stderr.Bytes()))
	}
	return nil
}

// kill ends a child; what it was doing does not matter any more.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// server is a contender in its own process.
type server struct {
	*process
	addr string
}

// start starts a contender for the bodies of a cell.
func (b *bench) start(contender string, c cell) (*server, error) {
	bin := b.bin("server-" + library(contender))
	args := []string{"-impl", impl(contender), "-body", strconv.Itoa(c.Body), "-deflate=" + strconv.FormatBool(c.Deflate)}
	switch contender {
	case "c":
		bin, args = b.bin("epoll_echo"), nil
	case "udp-c":
		bin, args = b.bin("mmsg_echo"), nil
	}
	p, err := b.launch(b.serverCPU, bin, args...)
	if err != nil {
		return nil, err
	}
	addr, err := p.line()
	if err != nil {
		p.kill()
		return nil, err
	}
	return &server{p, string(addr)}, nil
}

// ask sends a command of package control.
func (s *server) ask(cmd string) (map[string]int64, error) {
	if _, err := io.WriteString(s.in, cmd+"\n"); err != nil {
		return nil, fmt.Errorf("%v: %s: %w", s.cmd.Args, cmd, err)
	}
	var r control.Reply
	if err := s.decode(&r); err != nil {
		return nil, err
	}
	if r.Error != "" {
		return nil, fmt.Errorf("%v: %s: %s", s.cmd.Args, cmd, r.Error)
	}
	return r.Values, nil
}

// park stops the process altogether, so that no timer of one contender disturbs the run of another.
func (s *server) park() error {
	time.Sleep(30 * time.Millisecond) // the connections of the last run have been closed; let it see that
	return os.NewSyscallError("kill", s.cmd.Process.Signal(syscall.SIGSTOP))
}

// resume undoes park.
func (s *server) resume() error {
	err := s.cmd.Process.Signal(syscall.SIGCONT)
	time.Sleep(10 * time.Millisecond)
	return os.NewSyscallError("kill", err)
}
