// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"math"
	"time"
)

// Guard decides which connections become sessions of a server, in addition to
// MaxSessions and MaxSessionsPerAddr. What is refused is closed at once and
// counted in Stats.Refusals. The zero value refuses nothing.
type Guard struct {
	// Access says which addresses may connect. It can be changed while the server
	// runs. It is not asked about connections without an IP address, such as those
	// of unix sockets. One whose Preface tells of none goes by its own, here and
	// for all limits by address. nil: all.
	Access *AccessList

	// Accepts bounds the connections of a server, AcceptsPerPrefix those of one
	// network of addresses.
	Accepts, AcceptsPerPrefix Rate

	// MaxSessionsPerPrefix is how many sessions one network of addresses may
	// hold, handshakes included. 0: no limit. Range: 0 to math.MaxInt32.
	MaxSessionsPerPrefix int

	// IPv4Prefix and IPv6Prefix are how many leading bits make the addresses of
	// one network. 0: 24 and 56. Range: 0 to 32, and 0 to 128.
	IPv4Prefix, IPv6Prefix int
}

// Limits bound what a peer may do in one session. They are for servers that face
// strangers; a client may set them as well. The zero value sets none.
type Limits struct {
	// FirstMessageTimeout ends a session (ErrFirstMessage) from which no whole
	// message has come for so long after OnOpen began. 0: never. Range: 1 ms and more.
	FirstMessageTimeout time.Duration

	// MinRate is the progress that a peer has to make, in bytes a second over 5 s:
	// in taking what waits for it, or the session ends with ErrSlowConsumer; and
	// in sending one message that it has begun, or it ends with ErrMessageTimeout.
	// Under TLS and Compression what is taken shows in steps of 64 KiB, which may
	// take longer to tell. 0: any progress will do. Range: 0 to math.MaxInt32.
	MinRate int

	// Messages and Bytes bound what is received in one session. What has arrived
	// together is handled before it is counted, so a burst may be longer by a
	// batch. Bytes are those that the codec gets, and under Compression also what
	// becomes next to nothing. Beyond them the session ends with ErrRateLimit, or waits.
	Messages, Bytes Rate
	// Throttle lets a session beyond Messages or Bytes wait, unread, until it is
	// within them again. The peer's sends back up then. False: it ends.
	//
	// Keepalives are sent meanwhile. The pause counts as silence for IdleTimeout
	// and Keepalive, so it never is longer than half of IdleTimeout, Misses
	// intervals of Keepalive, or a minute: a session that would need a longer one
	// ends with ErrRateLimit. FirstMessageTimeout and MessageTimeout stand still.
	// Of a peer that has vanished, what it had sent is handled at the rate first.
	Throttle bool

	// MaxExpansion bounds how many bytes one received byte may stand for, under
	// Compression and on compressed WebSockets; the first 16 KiB of a message or
	// a stream are free. It holds for each beginning of a message, so that what
	// comes later makes nothing good, and of a stream for about the last 64 KiB that
	// came. MaxMessageSize bounds messages in any case. That of Setup is for
	// WebSocket only. Text of one repeated letter comes close to 1000.
	// 0: no limit. Range: 0 to 1 000 000.
	MaxExpansion int
}

// The defaults of Guard.
const (
	DefaultIPv4Prefix = 24
	DefaultIPv6Prefix = 56
)

func (g *Guard) check(v *validator) {
	v.rate("Guard.Accepts", g.Accepts)
	v.rate("Guard.AcceptsPerPrefix", g.AcceptsPerPrefix)
	v.size("Guard.MaxSessionsPerPrefix", g.MaxSessionsPerPrefix, 0, math.MaxInt32)
	v.size("Guard.IPv4Prefix", g.IPv4Prefix, 0, 32)
	v.size("Guard.IPv6Prefix", g.IPv6Prefix, 0, 128)
}

func (l *Limits) check(v *validator) {
	v.optional("Limits.FirstMessageTimeout", l.FirstMessageTimeout)
	v.size("Limits.MinRate", l.MinRate, 0, math.MaxInt32)
	v.rate("Limits.Messages", l.Messages)
	v.rate("Limits.Bytes", l.Bytes)
	v.size("Limits.MaxExpansion", l.MaxExpansion, 0, 1_000_000)
}

func (v *validator) rate(field string, r Rate) {
	v.size(field+".PerSecond", r.PerSecond, 0, 1_000_000_000)
	v.size(field+".Burst", r.Burst, 0, 1_000_000_000)
}

// metered reports whether a session needs a meter.
func (l *Limits) metered() bool { return l.Messages.PerSecond > 0 || l.Bytes.PerSecond > 0 }

// freeExpansion is what input of any size may become.
const freeExpansion = 16 << 10

// expansion is the account of what a stream became, for MaxExpansion.
type expansion struct {
	ratio   int64 // 0: no limit
	in, out int64 // bytes that were expanded, and what became of them
}

// room is how much more may come of so many more bytes.
func (x *expansion) room(in int) int {
	if x.ratio == 0 {
		return math.MaxInt
	}
	return int(min(max(freeExpansion+(x.in+int64(in))*x.ratio-x.out, 0), math.MaxInt))
}

// count reports whether that was within the limit. What lies far back counts
// less and less.
func (x *expansion) count(in, out int) bool {
	const memory = 64 << 10
	if in > 0 && x.in > memory { // what became of the last ones is counted by now
		x.in, x.out = x.in/2, x.out/2
	}
	x.in, x.out = x.in+int64(in), x.out+int64(out)
	return x.ratio == 0 || x.out <= freeExpansion+x.in*x.ratio
}
