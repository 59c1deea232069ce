// SPDX-License-Identifier: Apache-2.0

package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/gettytest"
)

// programs is the directory that has the built examples.
var programs string

func TestMain(m *testing.M) { goleak.VerifyTestMain(built{m}, goleak.Cleanup(gettytest.Exit)) }

// built builds the examples before the tests and removes them afterwards.
type built struct{ m *testing.M }

func (b built) Run() int {
	var err error
	if programs, err = os.MkdirTemp("", "getty-examples-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programs)
	if out, err := exec.Command("go", "build", "-o", programs, "./...").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return b.m.Run()
}
