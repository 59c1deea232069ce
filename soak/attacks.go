// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// attackEnv makes this program the hostile peers: their work is not to slow
// down those who measure.
const attackEnv = "GETTY_SOAK_ATTACK"

// leftovers begins a command line: the program gets what others leave of the
// processors. What hostile peers' own work costs is not the server's doing.
var leftovers = []string{"chrt", "-i", "0"}

// plan is what the hostile peers are told on their standard input.
type plan struct {
	URLs  []string
	Cert  string
	Conns int
}

// score is what those of one transport have done.
type score struct{ Conns, Frames, Bytes int64 }

// attack runs the plan until the end of in, and then tells the scores.
func attack(in io.Reader, out io.Writer) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM) // the parent ends it
	var p plan
	if err := json.NewDecoder(in).Decode(&p); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	tallies := make([]tally, len(transports))
	var peers sync.WaitGroup
	for i := range p.Conns {
		kind := i % len(transports)
		a := attacker{url: p.URLs[kind], kind: transports[kind], cert: p.Cert, tally: &tallies[kind]}
		peers.Go(func() { a.run(ctx) })
	}
	_, _ = io.Copy(io.Discard, in)
	stop()
	peers.Wait()
	scores := make([]score, len(tallies))
	for i := range tallies {
		t := &tallies[i]
		scores[i] = score{t.conns.Load(), t.frames.Load(), t.bytes.Load()}
	}
	return json.NewEncoder(out).Encode(scores)
}

// startAttack starts the process of the hostile peers. What it returns ends it.
func startAttack(p plan) (stop func() ([]score, error), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(leftovers[0], append(leftovers[1:], self)...) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), attackEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	err = json.NewEncoder(stdin).Encode(p)
	return func() (scores []score, err error) {
		_ = stdin.Close()
		t := time.AfterFunc(endPatience, func() { _ = cmd.Process.Kill() })
		defer t.Stop()
		err = json.NewDecoder(stdout).Decode(&scores)
		return scores, errors.Join(err, cmd.Wait())
	}, err
}

// child runs what another process of this program is for, if this is one.
func child() (is bool, err error) {
	switch {
	case os.Getenv(serverEnv) != "":
		return true, serve(os.Stdin, os.Stdout)
	case os.Getenv(attackEnv) != "":
		return true, attack(os.Stdin, os.Stdout)
	}
	return false, nil
}
