// SPDX-License-Identifier: Apache-2.0

package contender_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/bench/internal/contender"
	"github.com/getty-net/getty/bench/internal/control"
	"github.com/getty-net/getty/bench/internal/load"
)

// serveEnv makes the test binary a server. Each contender runs in a process of its own, as in the comparison: some
// leave goroutines behind for good, and the race detector of that process watches that contender alone.
const serveEnv = "GETTY_BENCH_SERVE"

// deflated behind the name of a contender has it compress.
const deflated = "+deflate"

func TestMain(m *testing.M) {
	if name := os.Getenv(serveEnv); name != "" {
		name, deflate := strings.CutSuffix(name, deflated)
		os.Exit(serve(name, deflate))
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // what the libraries start when they are linked in
}

func serve(name string, deflate bool) int {
	srv, err := contender.Start(name, contender.Options{Body: 16 << 10, Deflate: deflate})
	if err == nil {
		fmt.Println(srv.Addr())
		err = control.Serve(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// racy names the contenders whose own code has data races, with the reason. They are skipped under -race.
var racy = map[string]string{
	"ws-nbio":            "nbio's HTTP engine races with itself when it accepts",
	"ws-nbio" + deflated: "nbio's HTTP engine races with itself when it accepts",
}

func TestContendersEcho(t *testing.T) {
	names := contender.Names()
	for _, name := range names {
		if strings.HasPrefix(name, "ws-") {
			names = append(names, name+deflated)
		}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if reason := racy[name]; raceEnabled && reason != "" {
				t.Skip(reason)
			}
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), serveEnv+"="+name)
			echo(t, cmd, load.Config{
				TLS:       strings.HasPrefix(name, "tls-") || strings.HasPrefix(name, "wss-"),
				WebSocket: strings.HasPrefix(name, "ws"), Deflate: strings.HasSuffix(name, deflated),
				UDP: strings.HasPrefix(name, "udp-"),
			})
		})
	}
	for _, floor := range []string{"epoll_echo", "mmsg_echo"} {
		t.Run("c/"+floor, func(t *testing.T) {
			bin := filepath.Join(t.TempDir(), floor)
			if out, err := exec.Command("gcc", "-O2", "-o", bin, "../../c/"+floor+".c").CombinedOutput(); err != nil {
				t.Skipf("no C compiler: %v %s", err, out)
			}
			echo(t, exec.Command(bin), load.Config{UDP: floor == "mmsg_echo"})
		})
	}
}

// TestDropInEchoes links the server of dubbo-getty with the drop-in in its place, as the comparison does.
func TestDropInEchoes(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "server")
	args := []string{"build", "-C", "../..", "-modfile=dropin.mod", "-tags=single,dubbogetty", "-o", bin}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "./cmd/server")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	echo(t, exec.Command(bin, "-impl", "dubbogetty"), load.Config{})
}

// echo starts a server process, drives it with small and large messages, and has it quit.
func echo(t *testing.T, cmd *exec.Cmd, spoken load.Config) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("no address: %v %s", cmd.Wait(), &stderr)
	}
	addr := lines.Text()
	for _, cfg := range []load.Config{
		{Body: 64, Depth: 16}, {Body: 16 << 10, Depth: 16}, {Body: 64, Depth: 1}, {Body: 64, Depth: 1, Rate: 2000},
	} {
		if cfg.Rate > 0 && spoken.UDP || spoken.Deflate && cfg.Body == 64 {
			continue // UDP has the closed loop only, and some do not compress what is so short
		}
		cfg.TLS, cfg.WebSocket, cfg.Deflate, cfg.UDP = spoken.TLS, spoken.WebSocket, spoken.Deflate, spoken.UDP
		cfg.Addr, cfg.Conns, cfg.PID = addr, 4, cmd.Process.Pid
		cfg.Warmup, cfg.Duration = 20*time.Millisecond, 50*time.Millisecond
		drive(t, cfg)
	}
	for _, command := range []string{"cpu", "gc", "rss", "quit"} {
		_, _ = io.WriteString(in, command+"\n")
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"values":`) {
			t.Errorf("%s: %q", command, lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil || strings.Contains(stderr.String(), "DATA RACE") {
		t.Errorf("server: %v\n%s", err, &stderr)
	}
}

func drive(t *testing.T, cfg load.Config) {
	t.Helper()
	l, err := load.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Once(5 * time.Second); err != nil {
		t.Fatalf("%+v: %v", cfg, err)
	}
	if n := l.Open(); n != cfg.Conns {
		t.Fatalf("%+v: %d connections open", cfg, n)
	}
	res, err := l.Run()
	if err != nil {
		t.Fatalf("%+v: %v", cfg, err)
	}
	if res.Messages == 0 || res.ServerCPU <= 0 {
		t.Errorf("%+v: %+v", cfg, res)
	}
	if cfg.Rate > 0 && (res.P99 < res.P50 || res.P50 <= 0) {
		t.Errorf("latencies %v and %v", res.P50, res.P99)
	}
}
