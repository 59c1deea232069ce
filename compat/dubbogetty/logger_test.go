// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/apache/dubbo-getty"
)

// remembered makes a memory the logger until the test ends.
func remembered(t *testing.T) *memory {
	m := new(memory)
	getty.SetLogger(m)
	t.Cleanup(func() { getty.SetLogger(nil) })
	return m
}

// memory is a Logger that keeps what it is given.
type memory struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (m *memory) log(level string, args ...interface{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = fmt.Fprintln(&m.lines, append([]interface{}{level}, args...)...)
}

func (m *memory) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lines.String()
}

func (m *memory) Info(args ...interface{})  { m.log("info", args...) }
func (m *memory) Warn(args ...interface{})  { m.log("warn", args...) }
func (m *memory) Error(args ...interface{}) { m.log("error", args...) }
func (m *memory) Debug(args ...interface{}) { m.log("debug", args...) }
func (m *memory) Infof(format string, args ...interface{}) {
	m.log("info", fmt.Sprintf(format, args...))
}

func (m *memory) Warnf(format string, args ...interface{}) {
	m.log("warn", fmt.Sprintf(format, args...))
}

func (m *memory) Errorf(format string, args ...interface{}) {
	m.log("error", fmt.Sprintf(format, args...))
}

func (m *memory) Debugf(format string, args ...interface{}) {
	m.log("debug", fmt.Sprintf(format, args...))
}

// TestLogger: what has no caller goes to the user's logger, payloads do not (D53).
func TestLogger(t *testing.T) {
	m := remembered(t)
	if getty.GetLogger() != getty.Logger(m) {
		t.Error("GetLogger is another one")
	}
	s, addr := serve(t, transports[2], with(record()))
	r := record()
	connect(t, transports[2], addr, 1, with(r))
	ss := receive(t, r.opened, "session")
	for _, text := range []string{"bad secret\n", "good secret\n"} {
		_, err := ss.WriteBytes([]byte(text))
		must(t, err)
	}
	eventually(t, "a warning of a dropped message", func() bool { return strings.Contains(m.text(), "warn") })
	s.Close()
	receive(t, r.closed, "OnClose")
	eventually(t, "a warning of a failed dial", func() bool { return strings.Contains(m.text(), "connecting failed") })
	if strings.Contains(m.text(), "secret") {
		t.Errorf("payloads are logged: %s", m.text())
	}
}

// TestErrorsAreNotLogged when somebody is given them: OnError, or who has written (D53).
func TestErrorsAreNotLogged(t *testing.T) {
	m := remembered(t)
	r, peer := record(), record()
	broken := codec{
		read:  func(getty.Session, []byte) (interface{}, int, error) { return nil, 0, errors.New("unreadable") },
		write: func(getty.Session, interface{}) ([]byte, error) { return nil, errors.New("unwritable") },
	}
	_, addr := serve(t, transports[0], with(r, func(s getty.Session) { s.SetPkgHandler(broken) }))
	connect(t, transports[0], addr, 1, with(peer))
	if _, _, err := receive(t, r.opened, "session").WritePkg("x", 0); err == nil || err.Error() != "unwritable" {
		t.Errorf("WritePkg: %v", err)
	}
	_, err := receive(t, peer.opened, "session").WriteBytes([]byte("x"))
	must(t, err)
	if err := receive(t, r.errs, "OnError"); err.Error() != "unreadable" {
		t.Errorf("OnError: %v", err)
	}
	receive(t, peer.closed, "OnClose")
	if log := m.text(); strings.Contains(log, "unreadable") || strings.Contains(log, "unwritable") {
		t.Errorf("they are logged: %s", log)
	}
}

// zapChild has TestZapLogger run in a process of its own, which logs with what a
// process begins with, and then with each of the hooks.
const zapChild = "GETTY_TEST_ZAP"

// TestZapLogger: it is there from the beginning, and the hooks change its level
// and leave out the place of a call.
func TestZapLogger(t *testing.T) {
	if os.Getenv(zapChild) != "" {
		getty.GetLogger().Debug("debug at first")
		must(t, getty.SetLoggerLevel(getty.LoggerLevelError))
		getty.GetLogger().Warn("warning at level error")
		getty.GetLogger().Error("error at level error")
		must(t, getty.SetLoggerCallerDisable())
		getty.GetLogger().Error("error without a place")
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestZapLogger$") //nolint:gosec // this program
	cmd.Env = append(os.Environ(), zapChild+"=1")
	out, err := cmd.CombinedOutput()
	must(t, err)
	places := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		for _, text := range []string{"debug at first", "warning at level error", "error at level error", "error without a place"} {
			if strings.Contains(line, text) {
				places[text] = strings.Contains(line, "logger_test.go")
			}
		}
	}
	want := map[string]bool{"debug at first": true, "error at level error": true, "error without a place": false}
	if !maps.Equal(places, want) {
		t.Errorf("logged, and with their place: %v, want %v, in\n%s", places, want, out)
	}
}

// TestLoggerHooks may be called at any time.
func TestLoggerHooks(t *testing.T) {
	t.Cleanup(func() { getty.SetLogger(nil) })
	getty.SetLogger(nil)
	if getty.GetLogger() != nil {
		t.Error("there is a logger")
	}
	must(t, getty.SetLoggerLevel(getty.LoggerLevelError))
	l := getty.GetLogger()
	if l == nil {
		t.Fatal("there is no logger")
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { getty.SetLogger(l); getty.GetLogger().Debugf("%d", 1) })
	}
	all.Wait()
}
