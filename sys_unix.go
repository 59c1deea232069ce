// SPDX-License-Identifier: Apache-2.0

//go:build unix && (!linux || race) && !getty_portable

package getty

import "syscall"

// sysRead and sysWrite are read(2) and write(2). They go through package
// syscall, which tells the race detector what a read makes visible.
func sysRead(fd int, p []byte) (int, syscall.Errno) { return sysCall(syscall.Read, fd, p) }

func sysWrite(fd int, p []byte) (int, syscall.Errno) { return sysCall(syscall.Write, fd, p) }

func sysCall(call func(int, []byte) (int, error), fd int, p []byte) (int, syscall.Errno) {
	for {
		n, err := call(fd, p)
		errno, _ := err.(syscall.Errno) //nolint:errorlint // package syscall wraps none
		switch {
		case err == nil:
			return n, 0
		case errno == 0:
			return 0, syscall.EIO // package syscall returns nothing but Errno
		case errno != syscall.EINTR:
			return 0, errno
		}
	}
}
