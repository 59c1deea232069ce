// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/apache/dubbo-getty"
)

func TestMain(m *testing.M) {
	getty.SetLogger(nil)
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // the timer wheel
}
