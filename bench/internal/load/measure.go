// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/getty-net/getty/bench/internal/stats"
)

// sight is the state of both processes at one moment.
type sight struct {
	at            time.Time
	messages      uint64
	server, load  time.Duration // processor time
	reads, writes int64
}

// look reads the server's counters from here, not by asking the server: so the answer costs it nothing, and is as
// of the moment when the messages were counted.
func look(pid int, messages uint64) (s sight, err error) {
	if s.load, err = clock(unix.CLOCK_PROCESS_CPUTIME_ID); err != nil {
		return s, err
	}
	if pid != 0 {
		if s.reads, s.writes, err = calls(pid); err != nil {
			return s, err
		}
		// The kernel's id of another process's processor clock: see clock_getcpuclockid(3).
		if s.server, err = clock(^int32(pid)<<3 | 2); err != nil { //nolint:gosec // in range
			return s, err
		}
	}
	s.at, s.messages = time.Now(), messages
	return s, nil
}

func (s sight) since(begin sight) Result {
	return Result{
		Messages:  s.messages - begin.messages,
		Seconds:   s.at.Sub(begin.at).Seconds(),
		ServerCPU: (s.server - begin.server).Seconds(),
		LoadCPU:   (s.load - begin.load).Seconds(),
		Reads:     s.reads - begin.reads,
		Writes:    s.writes - begin.writes,
	}
}

func clock(id int32) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return time.Duration(ts.Nano()), nil
}

// calls returns how many read and write system calls a process has made. The kernel counts read(2), write(2) and
// their vectored forms here, but not recv(2) and send(2).
func calls(pid int) (reads, writes int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, 0, err
	}
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		name, value, _ := bytes.Cut(sc.Bytes(), []byte(": "))
		n, _ := strconv.ParseInt(string(value), 10, 64)
		switch string(name) {
		case "syscr":
			reads = n
		case "syscw":
			writes = n
		}
	}
	return reads, writes, nil
}

func quantiles(lat []float64) (p50, p99 float64) {
	if len(lat) == 0 {
		return 0, 0
	}
	return stats.Quantile(lat, 0.5), stats.Quantile(lat, 0.99)
}
