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

// process is the server's, as the parent sees it. Orders may be given while
// others are under way: the answers have their numbers.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	listn order         // as it was the first time, with the ports
	ended chan struct{} // no more answers come

	mu      sync.Mutex
	orders  *json.Encoder
	last    int // number of an order
	waiting map[int]chan<- answer
	gone    error // why no more answers come
}

// startServer starts the process; its Unix socket is at the given path.
func startServer(socket string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{
		cmd:   exec.Command(self), //nolint:gosec // this program
		ended: make(chan struct{}), waiting: make(map[int]chan<- answer),
	}
	p.cmd.Env = append(os.Environ(), serverEnv+"=1")
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.orders = json.NewEncoder(p.stdin)
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
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.hear(json.NewDecoder(stdout))
	return p, nil
}

// hear hands the answers to those who wait for them.
func (p *process) hear(answers *json.Decoder) {
	defer close(p.ended)
	for {
		var a answer
		err := answers.Decode(&a)
		p.mu.Lock()
		if err != nil {
			p.gone = err
			for _, w := range p.waiting {
				close(w)
			}
			p.mu.Unlock()
			return
		}
		if w := p.waiting[a.ID]; w != nil {
			w <- a
			delete(p.waiting, a.ID)
		}
		p.mu.Unlock()
	}
}

// do gives an order and waits for its answer.
func (p *process) do(o order) (answer, error) {
	got := make(chan answer, 1)
	if err := p.give(o, got); err != nil {
		return answer{}, fmt.Errorf("the server's process: %s: %w", o.Do, err)
	}
	a, ok := <-got
	switch {
	case !ok:
		return a, fmt.Errorf("the server's process: %s: %w", o.Do, p.gone)
	case a.Err != "":
		return a, fmt.Errorf("the server: %s: %s", o.Do, a.Err)
	}
	return a, nil
}

func (p *process) give(o order, got chan<- answer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone != nil {
		return p.gone
	}
	p.last++
	o.ID = p.last
	p.waiting[o.ID] = got
	return p.orders.Encode(o)
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

// replace has a successor of the server listen at the same addresses while the
// server itself drains, and waits for both.
func (p *process) replace() error {
	o := p.listn
	o.Do = "replace"
	_, err := p.do(o)
	return err
}

// stop ends the process, and kills it if it does not end.
func (p *process) stop() error {
	_ = p.stdin.Close()
	t := time.AfterFunc(endPatience, func() { _ = p.cmd.Process.Kill() })
	defer t.Stop()
	<-p.ended
	if err := p.cmd.Wait(); err != nil {
		return errors.Join(errors.New("the server's process did not end well"), err)
	}
	return nil
}
