// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/gettytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(gettytest.Exit)) }

// bubble runs a subtest in virtual time.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// pipe is Pipe whose ends are closed with the test.
func pipe(t *testing.T, f gettytest.Faults) (client, server *gettytest.Conn) {
	client, server = gettytest.Pipe(f)
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return client, server
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
