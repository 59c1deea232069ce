// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// The peers in this file are programs. Without them a test fails, for a peer
// that is silently left out tests nothing.

func TestPython(t *testing.T) {
	outside(t)
	python, err := findPython()
	must(t, err)
	runSuite(t, program{python, filepath.Join("testdata", "python", "peer.py")})
}

func TestNode(t *testing.T) {
	outside(t)
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("%v: install nodejs, as scripts/packages.sh does", err)
	}
	must(t, installModules(t))
	runSuite(t, program{node, filepath.Join("testdata", "node", "peer.js")})
}

func outside(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no programs")
	}
}

// findPython returns a Python that has websockets: Debian's, in spite of
// another one before it on the path.
func findPython() (string, error) {
	var errs []error
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.Command(name, "-c", "import websockets").CombinedOutput()
		if err == nil {
			return name, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out)))
	}
	return "", errors.Join(append(errs, errors.New("install python3-websockets, as scripts/packages.sh does"))...)
}

// installModules has npm install what package-lock.json says, once.
func installModules(t *testing.T) error {
	dir := filepath.Join("testdata", "node")
	want, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return err
	}
	got, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err == nil && !got.ModTime().Before(want.ModTime()) {
		return nil
	}
	cmd := exec.CommandContext(within(t), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
}

// program is a script that is one end of one connection.
type program struct{ interpreter, script string }

// programSetting is what a program is told of a setting.
type programSetting struct {
	URL       string   `json:"url"`
	Protocols []string `json:"protocols"`
	Deflate   bool     `json:"deflate"`
	CA        string   `json:"ca"`
	Cert      string   `json:"cert"`
	Key       string   `json:"key"`
}

func (p program) dial(t *testing.T, url string, o setting) remote {
	s := programSetting{URL: url, Protocols: offered, Deflate: o.deflate}
	if o.tls {
		s.CA, _ = certificateFiles(t)
	}
	return p.start(t, "dial", s)
}

func (p program) listen(t *testing.T, o setting) remote {
	s := programSetting{Protocols: offered, Deflate: o.deflate}
	if o.tls {
		s.Cert, s.Key = certificateFiles(t)
	}
	return p.start(t, "listen", s)
}

func (p program) start(t *testing.T, how string, s programSetting) remote {
	t.Helper()
	settings, err := json.Marshal(s)
	must(t, err)
	cmd := exec.Command(p.interpreter, p.script, how, string(settings))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	must(t, errors.Join(err1, err2, cmd.Start()))

	events := make(chan event, 1000)
	ended := make(chan error, 1)
	go func() {
		defer close(events)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			var e event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				e = event{Event: "what is no JSON", Reason: lines.Text()}
			}
			events <- e
		}
		ended <- errors.Join(lines.Err(), cmd.Wait())
	}()
	t.Cleanup(func() {
		// Whatever it is in the middle of, nobody waits for it any more.
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		for range events { // or its reader would be stuck
		}
		select {
		case err := <-ended:
			t.Log(p.script, "has ended:", err)
		case <-time.After(limit):
			t.Errorf("%s does not end", p.script)
		}
		if t.Failed() {
			t.Logf("%s %s %s wrote:\n%s", p.script, how, settings, &stderr)
		}
	})
	var mu sync.Mutex
	return remote{events: events, do: func(c command) error {
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		_, err = stdin.Write(append(line, '\n'))
		return err
	}}
}
