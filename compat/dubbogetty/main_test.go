// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"os"
	"testing"
	"time"

	gxtime "github.com/dubbogo/gost/time"
	"go.uber.org/goleak"

	"github.com/apache/dubbo-getty"
	"github.com/getty-net/getty/gettytest"
)

// TestTimerWheel: gost's is running, which dubbo-go takes for granted.
func TestTimerWheel(t *testing.T) {
	receive(t, gxtime.After(time.Millisecond), "tick")
}

func TestMain(m *testing.M) {
	if os.Getenv(zapChild) == "" {
		getty.SetLogger(nil)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(gettytest.Exit), goleak.IgnoreCurrent()) // gost's timer wheel
}
