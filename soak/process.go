// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// process is the server's, as the parent sees it.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	listn order // as it was the first time, with the ports

	mu      sync.Mutex // an order and its answer
	orders  *json.Encoder
	answers *json.Decoder
}

// startServer starts the process, after the given words of a command line; its
// Unix socket is at the given path.
func startServer(socket string, prefix ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	words := append(prefix, self)
	p := &process{cmd: exec.Command(words[0], words[1:]...)} //nolint:gosec // this program
	p.cmd.Env = append(os.Environ(), serverEnv+"=1")
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.orders, p.answers = json.NewEncoder(p.stdin), json.NewDecoder(stdout)
	cert, key, err := selfSigned()
	if err != nil {
		return nil, err
	}
	p.listn = order{Do: "listen", Cert: cert, Key: key}
	for _, t := range transports {
		url := t + "://127.0.0.1:0"
		if t == "unix" {
			url = "unix://" + socket
		}
		p.listn.URLs = append(p.listn.URLs, url)
	}
	return p, p.cmd.Start()
}

// do gives an order and waits for its answer.
func (p *process) do(o order) (answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var a answer
	if err := p.orders.Encode(o); err != nil {
		return a, err
	}
	if err := p.answers.Decode(&a); err != nil {
		return a, fmt.Errorf("the server's process: %w", err)
	}
	if a.Err != "" {
		return a, fmt.Errorf("the server: %s: %s", o.Do, a.Err)
	}
	return a, nil
}

// listen starts the server, from the second time on at the same addresses.
func (p *process) listen() error {
	a, err := p.do(p.listn)
	if err == nil {
		p.listn.URLs = a.URLs
	}
	return err
}

func (p *process) end(how string) error {
	_, err := p.do(order{Do: how})
	return err
}

// stop ends the process, and kills it if it does not end.
func (p *process) stop() error {
	if p.cmd.Process == nil {
		return nil
	}
	_ = p.stdin.Close()
	t := time.AfterFunc(endPatience, func() { _ = p.cmd.Process.Kill() })
	defer t.Stop()
	if err := p.cmd.Wait(); err != nil {
		return errors.Join(errors.New("the server's process did not end well"), err)
	}
	return nil
}
