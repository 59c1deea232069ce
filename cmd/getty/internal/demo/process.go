// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	startPatience = 15 * time.Second
	stopPatience  = 10 * time.Second
)

// server is the process in which Serve runs.
type server struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	urls    []string
	exited  chan struct{} // closed when the process has ended
	waitErr error         // set before
}

// startServer starts command and returns when it is listening.
func startServer(ctx context.Context, command []string, sp spec) (*server, error) {
	s := &server{cmd: exec.Command(command[0], command[1:]...), exited: make(chan struct{})} //nolint:gosec // it is this program
	s.cmd.Stderr = os.Stderr
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	heard := make(chan error, 1)
	go func() {
		heard <- s.listen(stdout)
		s.waitErr = s.cmd.Wait()
		close(s.exited)
	}()
	if err = json.NewEncoder(s.stdin).Encode(sp); err == nil {
		ctx, cancel := context.WithTimeout(ctx, startPatience)
		defer cancel()
		select {
		case err = <-heard:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		s.kill()
		return nil, fmt.Errorf("start the server: %w", err)
	}
	return s, nil
}

// listen reads the URLs that the process announces.
func (s *server) listen(stdout io.Reader) error {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if lines.Text() == ready {
			return nil
		}
		if url, ok := strings.CutPrefix(lines.Text(), listening); ok {
			s.urls = append(s.urls, url)
		}
	}
	return errors.Join(errors.New("it ended before it was listening"), lines.Err())
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// kill is SIGKILL to the process that startServer started. os.Process makes
// sure that it is no other: it does nothing once the process was waited for.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// stop asks the process to end, and kills it if it does not.
func (s *server) stop() {
	if s == nil {
		return
	}
	_ = s.stdin.Close()
	t := time.AfterFunc(stopPatience, func() { _ = s.cmd.Process.Kill() })
	defer t.Stop()
	<-s.exited
}
