// SPDX-License-Identifier: Apache-2.0

package proxyproto_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/gettytest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := gettytest.VerifyBuffers(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}
