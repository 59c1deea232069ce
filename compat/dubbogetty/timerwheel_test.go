// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"testing"
	"time"

	gxtime "github.com/dubbogo/gost/time"
)

// TestDefaultTimerWheel: gost's is there for consumers that do not make it, as dubbo-go and seata-go.
func TestDefaultTimerWheel(t *testing.T) {
	select {
	case <-gxtime.After(time.Millisecond):
	case <-time.After(patience):
		t.Error("it does not turn")
	}
}
