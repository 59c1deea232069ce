// SPDX-License-Identifier: Apache-2.0

// Package control is how the orchestrator asks a server process about itself: one command per line on its
// standard input, one line of JSON with numbers on its standard output. The C server speaks it too.
package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

// Reply is the answer to a command: names and numbers, or a reason why there are none.
type Reply struct {
	Values map[string]int64 `json:"values"`
	Error  string           `json:"error,omitempty"`
}

// Serve answers commands until quit or the end of input.
func Serve(in io.Reader, out io.Writer) error {
	enc := json.NewEncoder(out)
	for sc := bufio.NewScanner(in); sc.Scan(); {
		cmd := sc.Text()
		values, err := answer(cmd)
		r := Reply{Values: values}
		if err != nil {
			r.Error = err.Error()
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
		if cmd == "quit" {
			return nil
		}
	}
	return nil
}

func answer(cmd string) (map[string]int64, error) {
	switch cmd {
	case "cpu":
		return cpu()
	case "rss":
		return fromProc("/proc/self/status", map[string]string{"VmRSS": "rss_kb", "VmHWM": "peak_rss_kb"})
	case "syscalls":
		return fromProc("/proc/self/io", map[string]string{"syscr": "reads", "syscw": "writes"})
	case "gc":
		// Twice, since the victims of sync.Pool go with the second; then back to the system, since what is free
		// inside the heap is not what a session holds. The same for every contender.
		runtime.GC()
		runtime.GC()
		debug.FreeOSMemory()
		return map[string]int64{}, nil
	case "mallocs":
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return map[string]int64{"mallocs": int64(m.Mallocs), "bytes": int64(m.TotalAlloc)}, nil //nolint:gosec // in range
	case "goroutines":
		return map[string]int64{"goroutines": int64(runtime.NumGoroutine()), "procs": int64(runtime.GOMAXPROCS(0))}, nil
	case "quit":
		return map[string]int64{}, nil
	}
	return nil, fmt.Errorf("unknown command %q", cmd)
}

func cpu() (map[string]int64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return nil, os.NewSyscallError("getrusage", err)
	}
	user, system := time.Duration(u.Utime.Nano()), time.Duration(u.Stime.Nano())
	return map[string]int64{"user_us": user.Microseconds(), "system_us": system.Microseconds()}, nil
}

// fromProc reads "name: number" lines.
func fromProc(path string, names map[string]string) (map[string]int64, error) {
	data, err := os.ReadFile(path) //nolint:gosec // named by who started this
	if err != nil {
		return nil, err
	}
	values := make(map[string]int64, len(names))
	for line := range bytes.Lines(data) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		as, ok := names[string(name)]
		fields := bytes.Fields(rest)
		if !ok || len(fields) == 0 {
			continue
		}
		if values[as], err = strconv.ParseInt(string(fields[0]), 10, 64); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return values, nil
}
