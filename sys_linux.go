// SPDX-License-Identifier: Apache-2.0

//go:build linux && !race && !getty_portable

package getty

import (
	"syscall"
	"unsafe"
)

// sysRead and sysWrite are read(2) and write(2) on a non-blocking descriptor.
// Such a call never sleeps, so the scheduler need not be told of it: that saves
// its cost and, on a stack of 2 KB, the room that package syscall takes (see
// docs/adr/0002-raw-system-calls.md). p is never empty.
func sysRead(fd int, p []byte) (int, syscall.Errno) { return sysCall(syscall.SYS_READ, fd, p) }

func sysWrite(fd int, p []byte) (int, syscall.Errno) { return sysCall(syscall.SYS_WRITE, fd, p) }

func sysCall(trap uintptr, fd int, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0) //nolint:gosec // as the system call wants it; p lives through it
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
