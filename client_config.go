// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"cmp"
	"context"
	"net"
	"time"
)

// ClientConfig configures a Client. The zero value is a pool of one session
// that reconnects for ever.
type ClientConfig struct {
	Config

	// PoolSize is how many sessions the client holds. 0: 1. Range: 1 to 65536.
	PoolSize int

	// DialTimeout bounds one attempt to connect, without the TLS handshake.
	// 0: 5 s. Range: 1 ms and more.
	DialTimeout time.Duration

	// Backoff is the pause before a new attempt after failures. The first
	// attempt after a session that was stable comes without a pause.
	Backoff Backoff

	// StablePeriod is how long a session must stay open for the failures before
	// it to be forgotten. One that ends sooner is itself a failure. 0: 5 s.
	// Range: 1 ms and more.
	StablePeriod time.Duration

	// Spread is the time over which clients come back after their server said that
	// it restarts: each of their sessions waits for a random part of it. See
	// ErrRestart and Client.Retire. 0: 1 s. Range: 1 ms and more.
	Spread time.Duration

	// MaxFailures is how many consecutive failed rounds make the client give
	// up until Connect is called again. A round is one parallel attempt for all
	// missing sessions; it has failed if any of them failed, or ended within
	// StablePeriod. Those that had begun by then count as the same one. 0: never
	// give up. Range: 0 to math.MaxInt32.
	MaxFailures int

	// Dial replaces net.Dialer, for proxies, tests and other networks. network
	// is "tcp", "unix" or "udp". A *net.TCPConn, *net.UnixConn or *net.UDPConn
	// takes the fast path, any other conn the portable one. It must return when ctx ends. nil:
	// net.Dialer with Config.Control.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// OnReconnect is called before each round of attempts that follows a failure
	// or a lost session, with the number of consecutive failures so far and the
	// last error, on the goroutine that dials. After a restart of the server each
	// session may be a round. It must not block.
	OnReconnect func(failures int, err error)

	// OnGiveUp is called once each time the client gives up, with the last
	// failure, on the goroutine that dialed, or that of the session whose early
	// end was the last failure. It must not block.
	OnGiveUp func(err error)
}

// Backoff is the pause between attempts: it doubles with each consecutive
// failure from Min to Max, and each single pause is drawn evenly from its upper
// half, so that clients of one server do not come back in step.
type Backoff struct {
	// Min is the first pause. 0: 100 ms. Range: 1 ms and more.
	Min time.Duration
	// Max is the longest. 0: 10 s. Range: Min and more.
	Max time.Duration
}

// The defaults of ClientConfig.
const (
	DefaultDialTimeout  = 5 * time.Second
	DefaultStablePeriod = 5 * time.Second
	DefaultSpread       = time.Second
	DefaultBackoffMin   = 100 * time.Millisecond
	DefaultBackoffMax   = 10 * time.Second
)

func (c *ClientConfig) complete() error {
	c.PoolSize = cmp.Or(c.PoolSize, 1)
	c.DialTimeout = cmp.Or(c.DialTimeout, DefaultDialTimeout)
	c.StablePeriod = cmp.Or(c.StablePeriod, DefaultStablePeriod)
	c.Spread = cmp.Or(c.Spread, DefaultSpread)
	c.Backoff.Min = cmp.Or(c.Backoff.Min, DefaultBackoffMin)
	c.Backoff.Max = cmp.Or(c.Backoff.Max, max(DefaultBackoffMax, c.Backoff.Min))

	v := validator{prefix: "ClientConfig"}
	v.size("PoolSize", c.PoolSize, 1, 1<<16)
	v.duration("DialTimeout", c.DialTimeout)
	v.duration("StablePeriod", c.StablePeriod)
	v.duration("Spread", c.Spread)
	v.duration("Backoff.Min", c.Backoff.Min)
	if c.Backoff.Max < c.Backoff.Min {
		v.fail("Backoff.Max", "is %v, want Backoff.Min (%v) or more", c.Backoff.Max, c.Backoff.Min)
	}
	v.size("MaxFailures", c.MaxFailures, 0, 1<<31-1)
	return v.err()
}
