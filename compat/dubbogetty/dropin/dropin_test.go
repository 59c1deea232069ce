// SPDX-License-Identifier: Apache-2.0

package dropin

import (
	"slices"
	"testing"
)

// TestEnvironment counts until the first call.
func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		env    string
		set    func(bool)
		get    func() bool
		choice **bool
	}{
		{ReconnectEnv, SetReconnectOnEOF, ReconnectOnEOF, &reconnect},
		{AnyServerNameEnv, SetAnyServerName, AnyServerName, &anyName},
	} {
		t.Run(c.env, func(t *testing.T) {
			defer func() { *c.choice = nil }()
			for value, want := range map[string]bool{"": false, "nonsense": false, "0": false, "1": true, "true": true} {
				t.Setenv(c.env, value)
				if got := c.get(); got != want {
					t.Errorf("with %q it is %v", value, got)
				}
			}
			t.Setenv(c.env, "1")
			c.set(false)
			if c.get() {
				t.Error("the environment counts more than the call")
			}
			c.set(true)
			t.Setenv(c.env, "")
			if !c.get() {
				t.Error("the call does not count")
			}
		})
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
