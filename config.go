// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"syscall"
	"time"
)

// Config configures a Server, a Client (inside ClientConfig) and Dial. The zero
// value is useful. It is copied and checked by the call that receives it; a
// value out of range is a *ConfigError from there. Nothing in it can be changed
// afterwards; Configure may set some of it differently for single sessions.
type Config struct {
	// MaxMessageSize is the longest message that is received, in bytes of its
	// frame as the codec counts it. A longer one ends the session with
	// ErrMessageTooLong. Buffers grow with bytes that have arrived, never with a
	// length that was announced. 0: 1 MiB. Range: 1 to math.MaxInt32.
	MaxMessageSize int

	// HighWatermark bounds the bytes that a session has accepted and the kernel
	// has not taken yet. At or above it Backpressure decides; a single message
	// may exceed it. 0: 1 MiB. Range: 1 to math.MaxInt32.
	HighWatermark int
	// LowWatermark is where waiting senders go on and Writable reports room
	// again, in bytes. 0: half of HighWatermark. Range: 1 to HighWatermark.
	LowWatermark int
	// Backpressure says what happens to a send at the high watermark.
	// Zero: PolicyBlock.
	Backpressure Policy

	// IdleTimeout ends a session (ErrIdle) when for so long no byte was received
	// and none was taken by the kernel. The time that a callback of the session
	// runs does not count. 0: never, but 1 minute for sessions of udp:// servers,
	// whose peers say no goodbye. Range: 1 ms and more.
	IdleTimeout time.Duration
	// MessageTimeout ends a session (ErrMessageTimeout) that has received a part
	// of a message and not the rest within this time. 0: never. Range: 1 ms and more.
	MessageTimeout time.Duration
	// WriteTimeout ends a session (ErrWriteTimeout) whose peer takes no byte for
	// so long while some are waiting. It is also the longest that a sender waits
	// for room under PolicyBlock. 0: 10 s. Range: 1 ms and more.
	WriteTimeout time.Duration
	// UserTimeout ends a session with ETIMEDOUT when bytes that the kernel has
	// taken are not acknowledged for so long, or when a peer that acknowledges has
	// had no room for more for so long: a callback over there that takes longer
	// loses its session. It is the user timeout of TCP (RFC 5482; TCP_USER_TIMEOUT,
	// on Linux only) and set on the sockets that URLs of TCP make, which do without
	// Multipath TCP then, not on conns that come from elsewhere. 0: the system's,
	// some 15 minutes, and full peers are left to WriteTimeout. Range: 1 ms to
	// math.MaxInt32 ms.
	UserTimeout time.Duration
	// HandshakeTimeout bounds the handshakes of TLS, WebSocket and Compression together. 0: 10 s. Range: 1 ms and more.
	HandshakeTimeout time.Duration
	// CloseTimeout is how long a session that was closed here, and has flushed,
	// waits for the peer to close as well; what arrives meanwhile is discarded: if
	// it was closed with an error, other than ErrShutdown and ErrRestart, no faster
	// than 64 KiB in 20 ms after 256 KiB or 64 reads.
	// It is also how long a session to which nothing can be written any more
	// waits for what the peer has sent before.
	// 0: 1 s. Range: 1 ms and more.
	CloseTimeout time.Duration
	// DrainTimeout bounds how long ListenAndServe takes at its end to flush and
	// close its sessions, after DrainDelay and GracePeriod. 0: 10 s. Range: 1 ms and more.
	DrainTimeout time.Duration

	// DrainDelay is how long a server goes on accepting after Shutdown was called
	// and Ready is false, for load balancers to take notice. A Shutdown whose
	// context ends, and Close, end it. 0: not at all.
	// Range: 1 ms and more.
	DrainDelay time.Duration
	// GracePeriod is how long sessions of a server go on after its Farewell.
	// 0: 5 s. Range: 1 ms and more.
	GracePeriod time.Duration

	// CronPeriod is the period of OnCron. 0: OnCron is not called. Range: 1 ms and more.
	CronPeriod time.Duration
	// Keepalive watches over silent peers. The zero value does not.
	Keepalive Keepalive

	// Workers is the size of a pool of goroutines, shared by the sessions of the
	// endpoint, that run OnMessage. When all are busy, sessions wait and are not
	// read. 0: each session's own goroutine runs its callbacks. Range: 0 to 65536.
	Workers int
	// Executor runs OnMessage instead of Workers; setting both is an error.
	Executor Executor

	// MaxSessions is how many sessions a server holds, handshakes included; a
	// connection beyond it is accepted, closed and counted. 0: no limit.
	// Range: 0 to math.MaxInt32.
	MaxSessions int
	// MaxSessionsPerAddr is the same for one remote IP address. 0: no limit.
	// Range: 0 to math.MaxInt32.
	MaxSessionsPerAddr int
	// Guard decides which connections become sessions of a server. Setting it, or
	// one of the two above, for a client or Dial is an error.
	Guard Guard

	// Limits bound what a peer may do in a session.
	Limits Limits

	// WebSocket configures ws:// and wss:// URLs and ServeHTTP.
	WebSocket WebSocketConfig

	// TLS configures tls:// URLs and ServeTLS. A server needs a certificate; one
	// that GetCertificate gives can be replaced without a restart. For
	// a client nil means verifying with the system's roots; ServerName defaults
	// to the host of the URL.
	TLS *tls.Config

	// Compression of tcp, tls and unix URLs and of streams that come from
	// elsewhere; the peer needs the same. It is an error together with a URL of
	// another transport. Zero: CompressNone.
	Compression Compression

	// UDP has the settings of udp:// only.
	UDP UDP

	// Control is called for each socket after its creation and before it is
	// bound or connected, as in net.ListenConfig and net.Dialer. The socket of a
	// multicast group is bound already.
	Control func(network, address string, c syscall.RawConn) error

	// Logger receives what has no caller to be returned to, such as failing
	// accepts and reconnects. Payloads are never logged. nil: silent.
	Logger *slog.Logger
	// Observer is told about sessions. nil: nobody is.
	Observer Observer
}

// Keepalive configures the heartbeat of sessions. After Interval without a byte
// from the peer Frame is sent; the peer's codec and listener have to answer it
// with a message of any kind. After Misses further intervals of silence the
// session ends with ErrKeepalive. The time that a callback of this session runs
// does not count as the peer's silence, nor do bytes that are written as a sign
// of life. Without a keepalive a peer whose packets vanish is noticed only when
// the kernel takes no more bytes for WriteTimeout; see docs/faults.md.
type Keepalive struct {
	// Interval between received bytes and a keepalive, and between keepalives.
	// 0: no keepalive. Range: 1 ms and more.
	Interval time.Duration
	// Misses is how many keepalives may stay unanswered. 0: 2. Range: 0 to 1000.
	Misses int
	// Frame is the encoded keepalive, sent as it is, past senders that wait and
	// the high watermark. Empty: WebSocket sends a
	// ping; elsewhere nothing is sent, the peer is expected to speak by itself.
	// Setup.SetKeepalive encodes one with the session's codec.
	Frame []byte
}

// Policy says what happens to a send while the session is at or over its high
// watermark.
type Policy uint8

// The policies.
const (
	// PolicyBlock lets the sender wait for the low watermark, at most
	// WriteTimeout. Inside OnMessage that also stops reading.
	PolicyBlock Policy = iota
	// PolicyFail fails the send with ErrBackpressure.
	PolicyFail
	// PolicyDrop drops the message, counts it in Stats.Dropped and returns nil.
	PolicyDrop
	// PolicyClose ends the session with ErrSlowConsumer.
	PolicyClose
)

// String returns "block", "fail", "drop" or "close".
func (p Policy) String() string {
	switch p {
	case PolicyBlock:
		return "block"
	case PolicyFail:
		return "fail"
	case PolicyDrop:
		return "drop"
	case PolicyClose:
		return "close"
	}
	return "invalid"
}

// The defaults of Config.
const (
	DefaultMaxMessageSize   = 1 << 20
	DefaultHighWatermark    = 1 << 20
	DefaultWriteTimeout     = 10 * time.Second
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultCloseTimeout     = time.Second
	DefaultDrainTimeout     = 10 * time.Second
	DefaultGracePeriod      = 5 * time.Second
	DefaultKeepaliveMisses  = 2
)

// limits are the settings that Configure may change for one session. Sessions
// without a change share the endpoint's. Comparable.
type limits struct {
	maxMessage     int
	high, low      int
	policy         Policy
	idle           time.Duration
	messageTimeout time.Duration
	writeTimeout   time.Duration
	closeTimeout   time.Duration
	cron           time.Duration
	keepInterval   time.Duration
	keepMisses     int
	keepFrame      string
	peer           Limits
}

// control prepares the socket of a URL before it is bound or connected.
func (c *Config) control(network, address string, rc syscall.RawConn) error {
	if c.UserTimeout > 0 && strings.HasPrefix(network, "tcp") {
		if err := setUserTimeout(rc, c.UserTimeout); err != nil {
			return err
		}
	}
	if c.Control == nil {
		return nil
	}
	return c.Control(network, address, rc)
}

// forServers names a field that is set and means nothing to a client, or "".
func (c *Config) forServers() string {
	switch {
	case c.Guard != Guard{}:
		return "Guard"
	case c.MaxSessions != 0:
		return "MaxSessions"
	case c.MaxSessionsPerAddr != 0:
		return "MaxSessionsPerAddr"
	}
	return ""
}

func (c *Config) limits() *limits {
	return &limits{
		maxMessage:     c.MaxMessageSize,
		high:           c.HighWatermark,
		low:            c.LowWatermark,
		policy:         c.Backpressure,
		idle:           c.IdleTimeout,
		messageTimeout: c.MessageTimeout,
		writeTimeout:   c.WriteTimeout,
		closeTimeout:   c.CloseTimeout,
		cron:           c.CronPeriod,
		keepInterval:   c.Keepalive.Interval,
		keepMisses:     c.Keepalive.Misses,
		keepFrame:      string(c.Keepalive.Frame),
		peer:           c.Limits,
	}
}
