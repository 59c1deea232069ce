// SPDX-License-Identifier: Apache-2.0

package gettytest

import (
	"fmt"
	"os"

	"github.com/getty-net/getty/internal/bufpool"
)

// VerifyBuffers looks for misuse of the buffers that getty lends to sessions:
// one that is still lent, one that was given back twice, one that was written to
// after it had been given back. The error has the stacks of who borrowed it and
// of who gave it back, at most eight cases of each kind. A write of that sort is
// mostly a message that was kept beyond its OnMessage, in the code of the caller.
//
// It is for the end of a test or of TestMain, when all servers and clients of
// the process have been shut down. Without the build tag getty_debug nothing is
// watched, and it returns nil.
func VerifyBuffers() error { return bufpool.Verify() }

// Exit ends the process of a TestMain with code, or with 1 if that is 0 and
// VerifyBuffers has something to say, which it prints to standard error. It fits
// goleak.Cleanup.
func Exit(code int) {
	if err := VerifyBuffers(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}
