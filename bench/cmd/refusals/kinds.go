// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"net/netip"
	"syscall"
	"time"

	"github.com/getty-net/getty"
)

// kind is one reason to refuse.
type kind struct {
	name  string
	want  string // what the server counts it as
	url   string // tcp if empty; tls gets a certificate
	cfg   func() getty.Config
	sends func() []byte // what each attempt sends; nil: nothing

	holds    bool // a session that is let in is held meanwhile
	packets  bool // over UDP
	shakes   bool // the peer completes a TLS handshake
	persists bool // the peer goes on sending until it cannot
	deaf     bool // the server answers more than it is asked, and the peer reads nothing
	slow     bool // each attempt takes seconds
	proxied  bool // the server wants PROXY headers
	bare     bool // the server is none of getty's, for comparison
}

// limited is a configuration with nothing but limits.
func limited(l getty.Limits) func() getty.Config {
	return func() getty.Config { return getty.Config{Limits: l} }
}

func guarded(g getty.Guard) func() getty.Config {
	return func() getty.Config { return getty.Config{Guard: g} }
}

func with(cfg getty.Config) func() getty.Config { return func() getty.Config { return cfg } }

// says is what is sent as it is.
func says(text string) func() []byte { return func() []byte { return []byte(text) } }

func denied() getty.Config {
	return getty.Config{Guard: getty.Guard{Access: getty.NewAccessList(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})}}
}

// frugal bounds what waits in the kernel: sockets inherit it of the listener's.
func frugal(_, _ string, c syscall.RawConn) (err error) {
	cerr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 8<<10) })
	return firstError(cerr, err)
}

const (
	overTLS = "tls://127.0.0.1:0"
	overWS  = "ws://127.0.0.1:0"
	overUDP = "udp://127.0.0.1:0"

	full    = "too many sessions"
	tooLong = "message too long"

	message = "\x00\x00\x00\x01x"
	garbage = "garbage, and enough of it"
	moment  = time.Millisecond
)

// kinds are in the order of docs/abuse.md.
var kinds = []kind{
	{name: "address denied", want: "denied", cfg: denied},
	{name: "accept rate", want: "accept rate", cfg: guarded(getty.Guard{Accepts: getty.Rate{PerSecond: 1}})},
	{name: "accept rate of a network", want: "accept rate", cfg: guarded(getty.Guard{AcceptsPerPrefix: getty.Rate{PerSecond: 1}})},
	{name: "too many sessions", want: full, holds: true, cfg: with(getty.Config{MaxSessions: 1})},
	{name: "too many sessions of an address", want: full, holds: true, cfg: with(getty.Config{MaxSessionsPerAddr: 1})},
	{name: "too many sessions of a network", want: full, holds: true, cfg: guarded(getty.Guard{MaxSessionsPerPrefix: 1})},
	{name: "a packet of a denied address", want: "denied", url: overUDP, packets: true, sends: says(message), cfg: denied},
	{
		name: "a packet beyond UDP.MaxSessions", want: full, url: overUDP, packets: true, holds: true, sends: says(message),
		cfg: with(getty.Config{UDP: getty.UDP{MaxSessions: 1}}),
	},
	{
		name: "a packet beyond MaxSessionsPerAddr", want: full, url: overUDP, packets: true, holds: true, sends: says(message),
		cfg: with(getty.Config{MaxSessionsPerAddr: 1}),
	},
	{name: "no PROXY header", want: "handshake", proxied: true, sends: says(garbage), cfg: with(getty.Config{})},
	{name: "a PROXY header that is none", want: "handshake", proxied: true, sends: says("PROXY TCP4 nobody 198.51.100.1 1 2\r\n"), cfg: with(getty.Config{})},
	{name: "a PROXY header that stays unfinished", want: "handshake timeout", proxied: true, sends: says("PROXY TCP4 "), cfg: with(getty.Config{HandshakeTimeout: moment})},
	{name: "no first message", want: "first message", cfg: limited(getty.Limits{FirstMessageTimeout: moment})},
	{name: "the same of a server with nothing but net", bare: true, want: "deadline"},
	{name: "an idle session", want: "idle", cfg: with(getty.Config{IdleTimeout: moment})},
	{name: "a message that stays unfinished", want: "message timeout", sends: says("\x00\x00\x00\x09\x01"), cfg: with(getty.Config{MessageTimeout: moment})},
	{
		name: "a message slower than MinRate", want: "message timeout", slow: true, sends: says("\x00\x00\x00\x09\x01"),
		cfg: limited(getty.Limits{MinRate: 1000}),
	},
	{name: "a message announced too long", want: tooLong, sends: says("\x01\x00\x00\x00"), cfg: with(getty.Config{})},
	{
		name: "the same, and sending on", want: tooLong, persists: true, sends: says("\x01\x00\x00\x00"),
		cfg: with(getty.Config{CloseTimeout: moment}),
	},
	{
		name: "message rate", want: "rate limit", sends: func() []byte { return bytes.Repeat([]byte(message), 101) },
		cfg: limited(getty.Limits{Messages: getty.Rate{PerSecond: 100}}),
	},
	{
		name: "byte rate", want: "rate limit", sends: func() []byte { return append([]byte{0, 0, 0x80, 0}, make([]byte, 32<<10)...) },
		cfg: limited(getty.Limits{Bytes: getty.Rate{PerSecond: 16 << 10}}),
	},
	{
		name: "answers left unread, PolicyClose at 64 KB", want: "slow consumer", deaf: true, sends: says(message),
		cfg: with(getty.Config{Backpressure: getty.PolicyClose, HighWatermark: 64 << 10}),
	},
	{
		name: "answers left unread, WriteTimeout", want: "write timeout", deaf: true, sends: says(message),
		cfg: with(getty.Config{HighWatermark: 64 << 10, WriteTimeout: moment}),
	},
	{
		name: "answers left unread, PolicyClose at 16 KB, and 8 KB in the kernel", want: "slow consumer", deaf: true, sends: says(message),
		cfg: with(getty.Config{Backpressure: getty.PolicyClose, HighWatermark: 16 << 10, Control: frugal}),
	},
	{name: "garbage instead of TLS", want: "handshake", url: overTLS, sends: says(garbage), cfg: with(getty.Config{})},
	{
		name: "a TLS handshake that stays unfinished", want: "handshake timeout", url: overTLS, sends: says("\x16\x03\x01\x02\x00\x01"),
		cfg: with(getty.Config{HandshakeTimeout: moment}),
	},
	{
		name: "a whole TLS handshake, and no first message", want: "first message", url: overTLS, shakes: true,
		cfg: limited(getty.Limits{FirstMessageTimeout: moment}),
	},
	{
		name: "garbage instead of a WebSocket handshake", want: "handshake", url: overWS, sends: says("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		cfg: with(getty.Config{CloseTimeout: moment}),
	},
	{
		name: "a WebSocket handshake beyond MaxHeaderBytes", want: "handshake", url: overWS, sends: longHead,
		cfg: with(getty.Config{CloseTimeout: moment}),
	},
	{
		name: "a WebSocket handshake from a wrong Origin", want: "handshake", url: overWS,
		sends: says(upgrade("Origin: https://elsewhere.example\r\n")), cfg: with(getty.Config{CloseTimeout: moment}),
	},
	{
		name: "no preamble of compression", want: "compression", sends: says("garbage"),
		cfg: with(getty.Config{Compression: getty.CompressFlate}),
	},
	bomb("a flate bomb of 64 MB", getty.CompressFlate, 20, flateBomb),
	bomb("a flate bomb of 64 MB", getty.CompressFlate, 0, flateBomb),
	bomb("a zstd bomb of 64 MB", getty.CompressZstd, 20, zstdBomb),
	bomb("a zstd bomb of 64 MB", getty.CompressZstd, 0, zstdBomb),
	bomb("a snappy bomb of 64 MB", getty.CompressSnappy, 10, snappyBomb),
	bomb("a snappy bomb of 64 MB", getty.CompressSnappy, 0, snappyBomb),
	webSocketBomb(20),
	webSocketBomb(0),
}
