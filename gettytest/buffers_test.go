// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"strings"
	"testing"

	"github.com/getty-net/getty/gettytest"
	"github.com/getty-net/getty/internal/bufpool"
)

// TestVerifyBuffers: what is lent is told while it is, and by whom it was borrowed.
func TestVerifyBuffers(t *testing.T) {
	b := bufpool.Get(1)
	err := gettytest.VerifyBuffers()
	bufpool.Put(b)
	switch {
	case !bufpool.Debug && err != nil:
		t.Fatalf("without the build tag: %v", err)
	case bufpool.Debug && (err == nil || !strings.Contains(err.Error(), "TestVerifyBuffers")):
		t.Fatalf("a lent buffer: %v", err)
	}
	if err := gettytest.VerifyBuffers(); err != nil {
		t.Fatalf("after it came back: %v", err)
	}
}
