// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"os"
	"syscall"
	"time"
)

const hasUserTimeout = true

// setUserTimeout sets TCP_USER_TIMEOUT, see tcp(7). Connections inherit it from
// the socket that accepts them.
func setUserTimeout(rc syscall.RawConn, d time.Duration) error {
	const tcpUserTimeout = 18 // package syscall does not have it
	var errno error
	err := rc.Control(func(fd uintptr) {
		errno = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt", errno)
}
