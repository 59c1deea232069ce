// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"time"
)

// Setup is what Configure may choose for one session. Its fields come filled in
// with the endpoint's codec, listener and settings, and are checked like Config
// when Configure has returned. See Config for their meaning and ranges. A
// LowWatermark that is left alone follows HighWatermark down. Without IdleTimeout
// a session of a udp:// server ends by Close alone, and keeps its place.
type Setup[M any] struct {
	Codec  Codec[M]
	Events EventListener[M]

	MaxMessageSize int
	HighWatermark  int
	LowWatermark   int
	Backpressure   Policy
	IdleTimeout    time.Duration
	MessageTimeout time.Duration
	WriteTimeout   time.Duration
	CloseTimeout   time.Duration
	CronPeriod     time.Duration
	Keepalive      Keepalive
	Limits         Limits

	// Compression of this session: where Config.Compression is CompressNone, the
	// Raw variants can be chosen for streams. The handshake is over by now, so
	// there is no preamble.
	Compression Compression
	// Deflate says whether this session compresses the WebSocket messages that
	// it sends. It comes as it was agreed on, and can be turned off.
	Deflate bool
}

// SetKeepalive makes msg, encoded by Codec, the keepalive's frame.
func (u *Setup[M]) SetKeepalive(msg M) error {
	frame, err := u.Codec.Append(nil, msg)
	if err != nil {
		return fmt.Errorf("getty: encode keepalive: %w", err)
	}
	u.Keepalive.Frame = frame
	return nil
}

// configure runs the user's Configure and takes over what it chose.
func (s *Session[M]) configure() error {
	if s.hook != nil { // asked here: with its settings runHook takes a larger stack
		if err := s.runHook(); err != nil {
			return err
		}
	}
	if !s.opens {
		return nil
	}
	err := s.opensWith()
	if err != nil {
		s.ep.udp.count.spoiled.Add(1)
	}
	return err
}

func (s *Session[M]) runHook() error {
	l := s.lim
	u := Setup[M]{
		Codec: s.codec, Events: s.events,
		MaxMessageSize: l.maxMessage, HighWatermark: l.high, LowWatermark: l.low,
		Backpressure: l.policy, IdleTimeout: l.idle, MessageTimeout: l.messageTimeout,
		WriteTimeout: l.writeTimeout, CloseTimeout: l.closeTimeout,
		CronPeriod:  l.cron,
		Keepalive:   Keepalive{Interval: l.keepInterval, Misses: l.keepMisses, Frame: []byte(l.keepFrame)},
		Limits:      l.peer,
		Compression: s.ep.cfg.Compression,
	}
	ws, _ := s.framing.(*webSocket)
	u.Deflate = ws != nil && ws.deflate != nil
	agreed := u.Deflate
	if err := s.hook(s, &u); err != nil {
		return err
	}
	if err := u.check(); err != nil {
		return err
	}
	s.mu.Lock() // somebody may be in Prepare
	s.codec, s.events = u.Codec, u.Events
	s.mu.Unlock()
	if u.LowWatermark == l.low && u.HighWatermark < l.low {
		u.LowWatermark = 0 // nobody has chosen it for this one
	}
	cfg := u.config()
	if err := cfg.complete("Setup"); err != nil {
		return err
	}
	if err := s.compress(u.Compression); err != nil {
		return err
	}
	if u.Deflate && !agreed {
		return &ConfigError{Field: "Setup.Deflate", Problem: "is true, but the peer has not agreed on it"}
	}
	if agreed {
		ws.plain = !u.Deflate
	}
	// Sessions share the endpoint's limits unless theirs are their own.
	if own := cfg.limits(); *own != *l {
		s.lim = own
	}
	return nil
}

// compress puts the compression that Configure chose over the conn.
func (c *core) compress(how Compression) error {
	if how == c.ep.cfg.Compression {
		return nil
	}
	if c.ep.format != nil || c.framing != nil || !how.isRaw() || !how.valid() {
		return &ConfigError{
			Field:   "Setup.Compression",
			Problem: fmt.Sprintf("is %s, want Config.Compression or, if that is none, a raw one for a stream", how),
		}
	}
	f := c.ep.formatOf(how)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.is(stateNew) {
		z := newCompressConn(c.conn, f)
		z.src, z.owner = c.in.moved(), c
		c.conn = z
	}
	return nil
}

func (u *Setup[M]) check() error {
	if u.Events == nil {
		return &ConfigError{Field: "Setup.Events", Problem: "is nil"}
	}
	return checkCodec(u.Codec)
}

// config is the part of Setup that Config checks.
func (u *Setup[M]) config() *Config {
	return &Config{
		MaxMessageSize: u.MaxMessageSize, HighWatermark: u.HighWatermark, LowWatermark: u.LowWatermark,
		Backpressure: u.Backpressure, IdleTimeout: u.IdleTimeout, MessageTimeout: u.MessageTimeout,
		WriteTimeout: u.WriteTimeout, CloseTimeout: u.CloseTimeout,
		CronPeriod: u.CronPeriod, Keepalive: u.Keepalive, Limits: u.Limits,
	}
}
