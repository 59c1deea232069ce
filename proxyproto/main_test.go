// SPDX-License-Identifier: Apache-2.0

package proxyproto_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/gettytest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(gettytest.Exit))
}
