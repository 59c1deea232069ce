// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package getty

import (
	"syscall"
	"time"
)

// UserTimeout is refused by Config's check.
const hasUserTimeout = false

func setUserTimeout(syscall.RawConn, time.Duration) error { return nil }
