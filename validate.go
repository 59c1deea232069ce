// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// complete fills in the defaults and checks every field. prefix names the
// struct in errors, "Config" or "Setup".
func (c *Config) complete(prefix string) error {
	if c.LowWatermark == 0 && c.HighWatermark > 1 {
		c.LowWatermark = c.HighWatermark / 2
	}
	c.MaxMessageSize = cmp.Or(c.MaxMessageSize, DefaultMaxMessageSize)
	c.HighWatermark = cmp.Or(c.HighWatermark, DefaultHighWatermark)
	c.LowWatermark = cmp.Or(c.LowWatermark, max(c.HighWatermark/2, 1))
	c.WriteTimeout = cmp.Or(c.WriteTimeout, DefaultWriteTimeout)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, DefaultHandshakeTimeout)
	c.CloseTimeout = cmp.Or(c.CloseTimeout, DefaultCloseTimeout)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, DefaultDrainTimeout)
	c.GracePeriod = cmp.Or(c.GracePeriod, DefaultGracePeriod)
	c.UDP.complete()
	if c.Keepalive.Interval != 0 {
		c.Keepalive.Misses = cmp.Or(c.Keepalive.Misses, DefaultKeepaliveMisses)
	}
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
	}
	v := validator{prefix: prefix}
	c.WebSocket.complete(&v)
	c.check(&v)
	return v.err()
}

func (c *Config) check(v *validator) {
	v.size("MaxMessageSize", c.MaxMessageSize, 1, math.MaxInt32)
	v.size("HighWatermark", c.HighWatermark, 1, math.MaxInt32)
	v.size("LowWatermark", c.LowWatermark, 1, c.HighWatermark)
	v.size("Backpressure", int(c.Backpressure), 0, int(PolicyClose))
	v.optional("IdleTimeout", c.IdleTimeout)
	v.optional("MessageTimeout", c.MessageTimeout)
	v.duration("WriteTimeout", c.WriteTimeout)
	if d, longest := c.UserTimeout, math.MaxInt32*time.Millisecond; d != 0 && (d < time.Millisecond || d > longest) {
		v.fail("UserTimeout", "is %v, want 0, or 1ms to %v", d, longest)
	}
	if c.UserTimeout > 0 && !hasUserTimeout {
		v.fail("UserTimeout", "is %v, want 0: this system has no TCP_USER_TIMEOUT", c.UserTimeout)
	}
	v.duration("HandshakeTimeout", c.HandshakeTimeout)
	v.duration("CloseTimeout", c.CloseTimeout)
	v.duration("DrainTimeout", c.DrainTimeout)
	v.optional("DrainDelay", c.DrainDelay)
	v.duration("GracePeriod", c.GracePeriod)
	v.optional("CronPeriod", c.CronPeriod)
	v.optional("Keepalive.Interval", c.Keepalive.Interval)
	v.size("Keepalive.Misses", c.Keepalive.Misses, 0, 1000)
	v.size("Workers", c.Workers, 0, 1<<16)
	if !c.Compression.valid() {
		v.fail("Compression", "is %d, want one of the constants, or Raw of one", c.Compression)
	}
	v.size("MaxSessions", c.MaxSessions, 0, math.MaxInt32)
	v.size("MaxSessionsPerAddr", c.MaxSessionsPerAddr, 0, math.MaxInt32)
	c.Guard.check(v)
	c.Limits.check(v)
	c.UDP.check(v)
	if c.Workers > 0 && c.Executor != nil {
		v.fail("Executor", "is set together with Workers, want one of them")
	}
}

// validator keeps the first problem.
type validator struct {
	prefix string
	found  *ConfigError
}

func (v *validator) err() error {
	if v.found == nil {
		return nil
	}
	return v.found
}

func (v *validator) fail(field, format string, args ...any) {
	if v.found == nil {
		v.found = &ConfigError{Field: v.prefix + "." + field, Problem: fmt.Sprintf(format, args...)}
	}
}

func (v *validator) size(field string, n, lo, hi int) {
	if n < lo || n > hi {
		v.fail(field, "is %d, want %d to %d", n, lo, hi)
	}
}

func (v *validator) duration(field string, d time.Duration) {
	if d < time.Millisecond {
		v.fail(field, "is %v, want 1ms or more", d)
	}
}

func (v *validator) optional(field string, d time.Duration) {
	if d != 0 && d < time.Millisecond {
		v.fail(field, "is %v, want 0 or 1ms or more", d)
	}
}

// checkCodec runs the optional Validate of a codec.
func checkCodec[M any](codec Codec[M]) error {
	if codec == nil {
		return &ConfigError{Field: "codec", Problem: "is nil"}
	}
	v, ok := codec.(interface{ Validate() error })
	if !ok {
		return nil
	}
	if err := v.Validate(); err != nil {
		return fmt.Errorf("getty: %w", err)
	}
	return nil
}
