// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/gettytest"
)

// TestMain looks for goroutines that are left when all endpoints are closed
// and, under the build tag getty_debug, for buffers that were misused or not
// given back.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(gettytest.Exit))
}
