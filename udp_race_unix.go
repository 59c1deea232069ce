// SPDX-License-Identifier: Apache-2.0

//go:build unix && race

package getty

import (
	"sync"
	"syscall"
)

// raceSent and raceReceived tell the race detector that what came before a
// packet was sent is visible to who has received it. Package syscall says so for
// read(2) and write(2) alone, so they make one of these that does nothing.
func raceSent() { _, _ = syscall.Write(-1, nil) }

func raceReceived() { _, _ = syscall.Read(devNull(), nil) }

var devNull = sync.OnceValue(func() int {
	fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
})
