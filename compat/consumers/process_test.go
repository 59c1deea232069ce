// SPDX-License-Identifier: Apache-2.0

package consumers_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// process is a running program of ours, which is asked on its standard input and answers on its standard output, in
// lines that begin with "> ".
type process struct {
	t       testing.TB
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan string
}

// start starts a program and waits for its first answer. It is killed at the end of the test. env is added to the
// environment.
func start(t testing.TB, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: command(t, t.TempDir(), name, args...), answers: make(chan string, 16)}
	p.cmd.Env = append(p.cmd.Env, env...)
	in, inErr := p.cmd.StdinPipe()
	out, outErr := p.cmd.StdoutPipe()
	if inErr != nil || outErr != nil {
		t.Fatal(inErr, outErr)
	}
	p.in, p.cmd.Stderr = in, t.Output()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.answers)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if answer, ok := strings.CutPrefix(lines.Text(), "> "); ok {
				p.answers <- answer
			}
		}
	}()
	t.Cleanup(func() { p.kill() })
	p.answer()
	return p
}

// kill ends the process as a crash does, and tells how much CPU time it has used.
func (p *process) kill() time.Duration {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		for range p.answers { // until its output has ended
		}
		_ = p.cmd.Wait()
	}
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// answer waits for the next answer.
func (p *process) answer() string {
	p.t.Helper()
	select {
	case answer, ok := <-p.answers:
		if !ok {
			p.t.Fatalf("%s has ended", p.cmd.Args[0])
		}
		return answer
	case <-time.After(2 * time.Minute):
		p.t.Fatalf("%s does not answer", p.cmd.Args[0])
	}
	return ""
}

// ask gives the process a line and fills result with its answer.
func (p *process) ask(result any, format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		p.t.Fatal(err)
	}
	answer := p.answer()
	if err := json.Unmarshal([]byte(answer), result); err != nil {
		p.t.Fatalf("%v: %s", err, answer)
	}
}

// freeAddress is an address of the loopback on which nobody listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
