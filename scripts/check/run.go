// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// command is what a step starts.
type command struct {
	dir  string // relative to the root
	args []string
	env  []string // besides the environment
}

// runner starts commands.
type runner struct {
	root, logs string
}

// run returns all that the command has written, which is also kept in a log. When ctx ends, it is interrupted together
// with all that it has started.
func (r runner) run(ctx context.Context, c command) (output string, err error) {
	log, err := os.CreateTemp(r.logs, "*.log")
	if err != nil {
		return err.Error(), err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...) //nolint:gosec // a program of ours
	cmd.Dir = filepath.Join(r.root, c.dir)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what did not listen
	}
	text, readErr := os.ReadFile(log.Name())
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		text = fmt.Appendln(text, err)
	}
	return string(text), errors.Join(err, readErr)
}

// verdict is the result of a step that counts as one.
func verdict(ok bool, output string) result {
	if ok {
		return result{passed: 1}
	}
	return result{failed: 1, output: output}
}

// plain succeeds when the command does.
func plain(c command) func(context.Context, runner) result {
	return func(ctx context.Context, r runner) result {
		output, err := r.run(ctx, c)
		return verdict(err == nil, output)
	}
}

// silent succeeds when the command does and has written nothing.
func silent(c command) func(context.Context, runner) result {
	return func(ctx context.Context, r runner) result {
		output, err := r.run(ctx, c)
		return verdict(err == nil && output == "", output)
	}
}

// tests counts the tests of a go test -json.
func tests(c command) func(context.Context, runner) result {
	return func(ctx context.Context, r runner) result {
		output, err := r.run(ctx, c)
		counted := count(output)
		if err != nil && counted.failed == 0 {
			counted.failed, counted.output = 1, output
		}
		return counted
	}
}
