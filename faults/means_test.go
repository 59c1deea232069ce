// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"os"
	"sync"
	"testing"
)

// lacking has why layers are not tried on this machine.
var lacking struct {
	sync.Mutex
	why map[string]string
}

// lacks skips the test of a layer for want of a program. In CI, which installs
// what it needs, that is a failure: docs/faults.md says that the layer was tried.
func lacks(t *testing.T, layer, why string) {
	t.Helper()
	note(layer, why)
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// forbids skips the test of a layer that the system does not allow, or for which
// its kernel was not built.
func forbids(t *testing.T, layer, why string) {
	t.Helper()
	note(layer, why)
	t.Skip(why)
}

func note(layer, why string) {
	lacking.Lock()
	defer lacking.Unlock()
	if lacking.why == nil {
		lacking.why = make(map[string]string)
	}
	lacking.why[layer] = why
}
