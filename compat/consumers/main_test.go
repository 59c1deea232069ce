// SPDX-License-Identifier: Apache-2.0

package consumers_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var original = flag.String("original", "", "run on dubbo-getty instead of the drop-in: a `version`, or \"required\" for each consumer's own")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// complain fails the test, or only tells when it is the original that is being tried.
func complain(t testing.TB, format string, args ...any) {
	t.Helper()
	if *original != "" {
		t.Logf("original: "+format, args...)
		return
	}
	t.Errorf(format, args...)
}
