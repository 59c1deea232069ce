// SPDX-License-Identifier: Apache-2.0

package dropin

import (
	"slices"
	"testing"
)

// TestReconnectOnEOF: the environment counts until the first call.
func TestReconnectOnEOF(t *testing.T) {
	defer func() { reconnect = nil }()
	for value, want := range map[string]bool{"": false, "nonsense": false, "0": false, "1": true, "true": true} {
		t.Setenv(ReconnectEnv, value)
		if got := ReconnectOnEOF(); got != want {
			t.Errorf("with %q it is %v", value, got)
		}
	}
	t.Setenv(ReconnectEnv, "1")
	SetReconnectOnEOF(false)
	if ReconnectOnEOF() {
		t.Error("the environment counts more than the call")
	}
	SetReconnectOnEOF(true)
	t.Setenv(ReconnectEnv, "")
	if !ReconnectOnEOF() {
		t.Error("the call does not count")
	}
}

// TestAllowOrigins copies.
func TestAllowOrigins(t *testing.T) {
	list := []string{"https://a.example", "https://b.example"}
	AllowOrigins(list...)
	defer AllowOrigins()
	list[0] = "*"
	got := Origins()
	if !slices.Equal(got, []string{"https://a.example", "https://b.example"}) {
		t.Errorf("they are %q", got)
	}
	got[0] = "*"
	if Origins()[0] == "*" {
		t.Error("they can be changed from outside")
	}
}
