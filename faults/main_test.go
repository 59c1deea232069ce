// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/gettytest"
)

var write = flag.Bool("write", false, "write docs/faults.md")

// Cells mostly wait: more of them run at once than there are processors.
const atOnce = "40"

func TestMain(m *testing.M) {
	flag.Parse()
	switch side := os.Getenv(childEnv); side {
	case "":
	case inClockProbe:
		os.Exit(tryWallClock())
	default:
		os.Exit(runChild(side))
	}
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	code := m.Run()
	if *write {
		if err := writePage(); err != nil {
			panic(err)
		}
	}
	if err := goleak.Find(leftByToxiproxy...); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	gettytest.Exit(code)
}

// results has what became of each cell in each layer.
var results struct {
	sync.Mutex
	failed map[cell]map[string]bool
}

// record notes the result of a cell at the end of its test.
func record(t testing.TB, c cell, layer string) {
	t.Cleanup(func() {
		results.Lock()
		defer results.Unlock()
		if results.failed == nil {
			results.failed = make(map[cell]map[string]bool)
		}
		if results.failed[c] == nil {
			results.failed[c] = make(map[string]bool)
		}
		results.failed[c][layer] = t.Failed()
	})
}
