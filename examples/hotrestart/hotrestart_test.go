// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/gettytest"
)

const limit = 60 * time.Second

// bin is the program.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hotrestart")
	if err == nil {
		bin = filepath.Join(dir, "hotrestart")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		gettytest.Exit(code)
	}))
}

// program is the example, in all its generations.
type program struct {
	t       *testing.T
	r       *os.File // what they write
	out     *bufio.Scanner
	addrs   []string
	pidFile string
	pid     int // of the newest
	probes  []*probe
}

// start runs the example, waits until it listens, and probes it until the test
// ends.
func start(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := launch(t, cmd)
	for _, addr := range p.addrs {
		p.probes = append(p.probes, newProbe(t, addr))
	}
	return p
}

// launch runs the example, and waits until it listens.
func launch(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	pidFile := filepath.Join(t.TempDir(), "pid")
	cmd.Args = append(cmd.Args, "-pidfile", pidFile)
	r, w, err := os.Pipe() // not StdoutPipe: successors write to it, too
	must(t, err)
	t.Cleanup(func() { _ = r.Close() })
	cmd.Stdout, cmd.Stderr = w, w
	must(t, cmd.Start())
	must(t, w.Close())
	p := &program{t: t, r: r, out: bufio.NewScanner(r), pid: cmd.Process.Pid, pidFile: pidFile}
	t.Cleanup(func() {
		_ = syscall.Kill(p.pid, syscall.SIGTERM)
		_ = cmd.Wait()
		must(t, r.SetReadDeadline(time.Now().Add(limit)))
		if _, err := io.Copy(io.Discard, r); err != nil { // until the last of them has ended
			t.Error("a process does not end: ", err)
		}
	})
	p.next()
	return p
}

// next waits for a process that listens.
func (p *program) next() {
	p.t.Helper()
	must(p.t, p.r.SetReadDeadline(time.Now().Add(limit)))
	for p.out.Scan() {
		p.t.Log(p.out.Text())
		var pid int
		var addrs string
		if n, _ := fmt.Sscanf(p.out.Text(), "process %d is listening on %s", &pid, &addrs); n == 2 {
			p.pid, p.addrs = pid, strings.Split(addrs, ",")
			p.wantPIDFile()
			return
		}
	}
	p.t.Fatal("no process is listening: ", p.out.Err())
}

// fails waits for a process that has got no successor.
func (p *program) fails() {
	p.t.Helper()
	must(p.t, p.r.SetReadDeadline(time.Now().Add(limit)))
	for p.out.Scan() {
		p.t.Log(p.out.Text())
		if strings.Contains(p.out.Text(), "no successor: ") {
			return
		}
	}
	p.t.Fatal("no process is without a successor: ", p.out.Err())
}

// wantPIDFile is how systemd knows which process it is.
func (p *program) wantPIDFile() {
	p.t.Helper()
	text, err := os.ReadFile(p.pidFile)
	must(p.t, err)
	if string(text) != strconv.Itoa(p.pid) {
		p.t.Errorf("the file names process %s, want %d", text, p.pid)
	}
}

// upgrade has the newest process replaced.
func (p *program) upgrade() {
	p.t.Helper()
	old := p.pid
	for _, pr := range p.probes {
		pr.takeovers.Add(1)
	}
	must(p.t, syscall.Kill(old, syscall.SIGHUP))
	p.next()
	for _, pr := range p.probes {
		pr.takeovers.Add(1)
	}
	if p.pid == old {
		p.t.Fatal("the same process is listening")
	}
}

// untilProbed goes on upgrading until each listener was connected to meanwhile: on
// a busy machine a takeover may be over before that.
func (p *program) untilProbed() {
	p.t.Helper()
	for range 50 {
		if !slices.ContainsFunc(p.probes, func(pr *probe) bool { return pr.during.Load() == 0 }) {
			return
		}
		p.upgrade()
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// load sends numbered lines until it is stopped, and keeps the books.
type load struct {
	*caller
	sent    atomic.Int64
	mu      sync.Mutex
	waiting map[string]bool
	twice   int
	stop    context.CancelFunc
	senders sync.WaitGroup
}

func (l *load) answered(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.waiting[line] {
		l.twice++
	}
	delete(l.waiting, line)
}

func begin(t *testing.T, addr string) *load {
	t.Helper()
	l := &load{waiting: map[string]bool{}}
	c, err := newCaller("tcp://"+addr, 8, l.answered, getty.ClientConfig{Spread: 100 * time.Millisecond})
	must(t, err)
	l.caller = c
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	must(t, c.client.Connect(ctx))
	stopped := make(chan struct{})
	l.stop = sync.OnceFunc(func() { close(stopped); l.senders.Wait(); cancel() })
	for range 4 {
		l.senders.Go(func() {
			for {
				select {
				case <-stopped:
					return
				default:
				}
				line := strconv.FormatInt(l.sent.Add(1), 10)
				l.mu.Lock()
				l.waiting[line] = true
				busy := len(l.waiting) > 1000
				l.mu.Unlock()
				if err := l.send(ctx, line); err != nil {
					t.Errorf("line %s: %v", line, err)
					return
				}
				if busy {
					time.Sleep(time.Millisecond) // a pace, nothing waits for it
				}
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

// settle waits until every line has its answer.
func (l *load) settle(t *testing.T) {
	t.Helper()
	l.stop()
	end := time.After(limit)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		l.mu.Lock()
		left, twice := len(l.waiting), l.twice
		l.mu.Unlock()
		if left == 0 {
			if twice > 0 {
				t.Errorf("%d answers came twice", twice)
			}
			break
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%d of %d lines have no answer", left, l.sent.Load())
		}
	}
	st := l.client.Stats()
	if st.DialFailures > 0 {
		t.Errorf("%d of %d connects were refused", st.DialFailures, st.Dials)
	}
	t.Logf("%d lines, %d connects, causes %v", l.sent.Load(), st.Dials, st.Causes)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	must(t, l.client.Shutdown(ctx))
}

// sends lets the load go on for n lines.
func (l *load) sends(t *testing.T, n int64) {
	t.Helper()
	to := l.sent.Load() + n
	for end := time.Now().Add(limit); l.sent.Load() < to; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is sent any more")
		}
	}
}

func TestNoMessageIsLost(t *testing.T) {
	p := start(t, exec.Command(bin, "-listen", "127.0.0.1:0,localhost:0"))
	var loads []*load
	for _, addr := range p.addrs {
		loads = append(loads, begin(t, addr))
	}
	for range 3 {
		for _, l := range loads {
			l.sends(t, 3000)
		}
		p.upgrade()
	}
	p.untilProbed()
	for _, l := range loads {
		l.sends(t, 3000)
		l.settle(t)
	}
}

// systemd opens the sockets, and hands them over as descriptors 3 and 4.
func TestSocketActivation(t *testing.T) {
	cmd := exec.Command("sh", "-c", `LISTEN_FDS=2 LISTEN_PID=$$ exec "$0" "$@"`, bin, "-listen", "one,two")
	var addrs []string
	for range 2 {
		tl, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		f, err := tl.(*net.TCPListener).File()
		must(t, err)
		addrs = append(addrs, tl.Addr().String())
		must(t, tl.Close())
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	p := start(t, cmd)
	for _, f := range cmd.ExtraFiles {
		must(t, f.Close())
	}
	if !slices.Equal(p.addrs, addrs) {
		t.Fatalf("it listens on %s, not on systemd's %s", p.addrs, addrs)
	}
	l := begin(t, addrs[1])
	for range 2 {
		l.sends(t, 1000)
		p.upgrade()
	}
	p.untilProbed()
	l.sends(t, 1000)
	l.settle(t)
}

// A successor that cannot be started, or that fails when it has everything but
// its place in the PID file, has taken nothing with it.
func TestASuccessorThatFailsChangesNothing(t *testing.T) {
	p := start(t, exec.Command(bin, "-listen", "127.0.0.1:0"))
	l := begin(t, p.addrs[0])
	paths := []string{bin}
	for range 5 { // what would be lost is what is accepted in a short moment
		paths = append(paths, filepath.Dir(p.pidFile))
	}
	for _, path := range paths {
		must(t, os.Rename(path, path+".gone"))
		must(t, syscall.Kill(p.pid, syscall.SIGHUP))
		p.fails()
		l.sends(t, 1000)
		must(t, os.Rename(path+".gone", path))
		p.wantPIDFile()
		p.upgrade()
		l.sends(t, 1000)
	}
	p.untilProbed()
	l.settle(t)
}

// visit connects, and has a line answered.
func visit(t *testing.T, addr string) (nc net.Conn, ask func(line string)) {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, limit)
	must(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	must(t, nc.SetDeadline(time.Now().Add(limit)))
	answers := bufio.NewScanner(nc)
	ask = func(line string) {
		t.Helper()
		_, err := io.WriteString(nc, line+"\n")
		must(t, err)
		for answers.Scan() {
			if answers.Text() == line {
				return
			}
			t.Logf("it says %q", answers.Text())
		}
		t.Fatalf("no answer to %q: %v", line, answers.Err())
	}
	ask("hello")
	return nc, ask
}

// A process that ends for good refuses connects while it drains: one that it took
// and never served would lose what is sent over it.
func TestTheEndRefusesConnects(t *testing.T) {
	p := launch(t, exec.Command(bin, "-listen", "127.0.0.1:0"))
	nc, ask := visit(t, p.addrs[0])
	must(t, syscall.Kill(p.pid, syscall.SIGTERM))
	for {
		other, err := net.DialTimeout("tcp", p.addrs[0], limit)
		if err != nil {
			break
		}
		other.Close()
		time.Sleep(time.Millisecond)
	}
	ask("still here") // so it drains
	must(t, nc.Close())
}

// The end is not put off by a successor that is to start, nor is that left behind.
func TestTheEndInterruptsAnUpgrade(t *testing.T) {
	p := launch(t, exec.Command(bin, "-listen", "127.0.0.1:0"))
	nc, ask := visit(t, p.addrs[0])
	p.upgrade() // the first process drains as long as it is visited
	must(t, syscall.Kill(p.pid, syscall.SIGHUP))
	must(t, syscall.Kill(p.pid, syscall.SIGTERM))
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		if err := syscall.Kill(p.pid, 0); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the second process does not end")
		}
	}
	ask("still here")
	must(t, nc.Close())
	must(t, p.r.SetReadDeadline(time.Now().Add(limit)))
	for p.out.Scan() {
		t.Log(p.out.Text())
		if strings.Contains(p.out.Text(), "is listening") {
			t.Error("a successor has started")
		}
	}
}
