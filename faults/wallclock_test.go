// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// wallClock is the time of day as this process sees it, which it can set: that
// of the machine stays as it is. Go asks the kernel for a time by a function of
// the vDSO, and a process may change its own copy of that. What replaces the
// function asks by a system call and adds an offset to the time of day.
type wallClock struct {
	mem    *os.File // this process
	offset int64    // where that is
	sum    time.Duration
}

// realtime is the function: clock_gettime with an offset in seconds for the
// clock 0, which is the time of day. The offset follows it.
var realtime = []byte{
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi
	0x75, 0x0a, // jne to ret
	0x48, 0x8b, 0x0d, 0x06, 0x00, 0x00, 0x00, // mov rcx, [rip+6]
	0x48, 0x01, 0x0e, // add [rsi], rcx
	0xc3,       // ret
	0xcc, 0xcc, // up to a multiple of 8
	0, 0, 0, 0, 0, 0, 0, 0,
}

// newWallClock is for the beginning of a process, as long as few threads ask for
// the time.
func newWallClock() (*wallClock, error) {
	if runtime.GOARCH != "amd64" {
		return nil, errors.New("a process can set its own clock on amd64 only")
	}
	base, size, err := findVDSO()
	if err != nil {
		return nil, err
	}
	mem, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	file, err := elf.NewFile(io.NewSectionReader(mem, base, size))
	if err != nil {
		return nil, err
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	at := make(map[string]elf.Symbol)
	for _, s := range symbols {
		at[s.Name] = s
	}
	// There is room for the function in another one, which Go does not call.
	entry, room := at["__vdso_clock_gettime"], at["__vdso_gettimeofday"]
	if entry.Size < 8 || room.Size < uint64(len(realtime)) || room.Value%8 != 0 {
		return nil, errors.New("the vDSO has no place to set a clock")
	}
	to := base + int64(room.Value)
	jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(room.Value-entry.Value-5))
	if _, err := mem.WriteAt(realtime, to); err != nil {
		return nil, err
	}
	_, err = mem.WriteAt(jump, base+int64(entry.Value))
	return &wallClock{mem: mem, offset: to + int64(len(realtime)) - 8}, err
}

func findVDSO() (base, size int64, err error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		var end int64
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			_, err := fmt.Sscanf(line, "%x-%x", &base, &end)
			return base, end - base, err
		}
	}
	return 0, 0, errors.New("this process has no vDSO")
}

// jump sets the time of day forward, or back, and looks at whether that was all.
func (w *wallClock) jump(by time.Duration) error {
	before := time.Now()
	w.sum += by
	if _, err := w.mem.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(w.sum/time.Second)), w.offset); err != nil {
		return err
	}
	after := time.Now()
	took, far := after.Sub(before), after.Round(0).Sub(before.Round(0))
	if took < 0 || took > time.Minute || (far-by).Abs() > time.Minute {
		return fmt.Errorf("the clock was set by %v, and went by %v, the monotonic one by %v", by, far, took)
	}
	return nil
}

// noWallClock is the exit status of a process that has no clock of its own.
const noWallClock = 3

// tryWallClock is a process that tells its parent whether it can set its clock.
func tryWallClock() int {
	w, err := newWallClock()
	if err != nil {
		fmt.Println(err)
		return noWallClock
	}
	if err := errors.Join(w.jump(year), w.jump(-2*year)); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

const year = 365 * 24 * time.Hour
