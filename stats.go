// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"syscall"
	"time"
)

// SessionStats is a snapshot of one session's counters.
type SessionStats struct {
	// BytesIn and BytesOut are bytes of frames received, and taken by the
	// kernel; under TLS they are plaintext, under compression they are expanded.
	BytesIn, BytesOut int64
	// MessagesIn counts messages handed to OnMessage; a batch in progress is
	// added at its end. MessagesOut counts accepted ones.
	MessagesIn, MessagesOut int64
	// Dropped counts messages left out by PolicyDrop.
	Dropped int64
	// Pending is how many accepted bytes the kernel has not taken. In OnClose it
	// is what was lost.
	Pending int
	// UDP counts the packets of udp:// that were lost or odd.
	UDP UDPStats
}

// Stats is a snapshot of a server's or client's counters since its creation.
// The sums of bytes and messages cover living and closed sessions.
type Stats struct {
	// Sessions are between OnOpen and OnClose now; Opening ones before OnOpen, a
	// PrefacedConn's preface included.
	Sessions, Opening int
	// Opened and Closed count OnOpen and OnClose.
	Opened, Closed int64
	// Causes counts closed sessions by CauseKind.
	Causes map[string]int64
	// Rejected counts connections refused by MaxSessions, MaxSessionsPerAddr and
	// Guard, and packets refused by these and by UDP.MaxSessions. Failed counts
	// those that ended before OnOpen: handshakes and Configure, AcceptErrors failed
	// accepts.
	Rejected, Failed, AcceptErrors int64
	// Refusals counts what Rejected and Failed count by CauseKind of the reason:
	// a handshake or preface that failed for no reason of its own is "handshake".
	Refusals map[string]int64
	// Dials, DialFailures and Reconnects are a client's: attempts, failed ones,
	// and sessions opened in the place of a lost one.
	Dials, DialFailures, Reconnects int64

	BytesIn, BytesOut       int64
	MessagesIn, MessagesOut int64
	Dropped                 int64
	Pending                 int64
	UDP                     UDPStats
}

// add sums up one session.
func (st *Stats) add(s SessionStats) {
	st.BytesIn += s.BytesIn
	st.BytesOut += s.BytesOut
	st.MessagesIn += s.MessagesIn
	st.MessagesOut += s.MessagesOut
	st.Dropped += s.Dropped
	st.UDP.add(s.UDP)
}

// stats takes the session's snapshot.
func (c *core) stats() SessionStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return SessionStats{
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut,
		MessagesIn: c.msgsIn.Load(), MessagesOut: c.msgsOut,
		Dropped: c.dropped, Pending: c.pending, UDP: c.packets.stats(),
	}
}

// refused adds packets of which nothing was made.
func (st *Stats) refused(n int64, why error) {
	if n > 0 {
		st.Rejected += n
		st.Refusals[CauseKind(why)] += n
	}
}

// stats takes the endpoint's snapshot.
func (ep *endpoint) stats() Stats {
	st, sessions := ep.endpointStats()
	for c, listed := range sessions { // some may be waiting for their codec's Append
		s := c.stats()
		st.add(s)
		st.Pending += int64(s.Pending)
		if listed {
			st.Sessions++
		} else if c.is(stateNew) {
			st.Opening++
		}
	}
	return st
}

// endpointStats is what there is to know without the sessions that it returns.
func (ep *endpoint) endpointStats() (Stats, map[*core]bool) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	st := ep.totals
	st.UDP.add(ep.udp.count.stats())
	st.Causes, st.Refusals = maps.Clone(ep.causes), maps.Clone(ep.refusals)
	st.refused(ep.udp.denied.Load(), ErrDenied)
	st.refused(st.UDP.Refused, ErrTooManySessions)
	st.Opened = ep.opened.Load()
	st.AcceptErrors = ep.acceptErrors.Load()
	st.Opening = len(ep.prefacing)
	return st, maps.Clone(ep.sessions)
}

// SessionInfo says which session an Observer is told about.
type SessionInfo struct {
	ID            uint64
	Transport     string
	Local, Remote net.Addr
	Opened        time.Time
}

// Observer is told about the life of sessions, for exporters and audit logs;
// rates come from Stats. Its methods are called on the sessions' goroutines,
// must not block, call back into getty or runtime.Goexit. A panic in one is logged.
type Observer interface {
	// SessionOpened comes after OnOpen has succeeded.
	SessionOpened(info SessionInfo)
	// SessionClosed comes after OnClose.
	SessionClosed(info SessionInfo, stats SessionStats, cause error)
	// ConnFailed tells of a connection that never became a session: a refused,
	// failed or timed out one. remote may be nil. Packets beyond UDP.MaxSessions
	// or MaxSessions are counted only: their senders may be made up, a new one for
	// each.
	ConnFailed(transport string, remote net.Addr, err error)
}

// CauseKind names the kind of a cause of close for counters and logs: "local",
// "eof", "unexpected eof", "reset", "idle", "keepalive", "write timeout",
// "message timeout", "first message", "slow consumer", "rate limit", "message too
// long", "shutdown", "panic", "goexit", "compression", "protocol", "denied",
// "accept rate", "restart", "too many sessions", "handshake timeout", "handshake", "closed"
// or "error".
func CauseKind(cause error) string {
	if cause == nil {
		return "local"
	}
	if _, ok := errors.AsType[*PanicError](cause); ok {
		return "panic"
	}
	if _, ok := errors.AsType[*UpgradeError](cause); ok {
		return "handshake"
	}
	for _, k := range causeKinds {
		if errors.Is(cause, k.is) {
			return k.name
		}
	}
	return "error"
}

var causeKinds = []struct {
	is   error
	name string
}{
	{ErrCompression, "compression"},
	{ErrProtocol, "protocol"},
	{ErrInvalidUTF8, "protocol"},
	{ErrRestart, "restart"},
	{ErrHandshakeTimeout, "handshake timeout"},
	{ErrShutdown, "shutdown"},
	{ErrGoexit, "goexit"},
	{context.Canceled, "closed"},
	{errHandshake, "handshake"}, // whatever else it was that failed it
	{errPreface, "handshake"},
	{io.ErrUnexpectedEOF, "unexpected eof"},
	{io.EOF, "eof"},
	{ErrIdle, "idle"},
	{ErrKeepalive, "keepalive"},
	{ErrWriteTimeout, "write timeout"},
	{ErrMessageTimeout, "message timeout"},
	{ErrFirstMessage, "first message"},
	{ErrSlowConsumer, "slow consumer"},
	{ErrRateLimit, "rate limit"},
	{ErrDenied, "denied"},
	{ErrAcceptRate, "accept rate"},
	{ErrTooManySessions, "too many sessions"},
	{ErrMessageTooLong, "message too long"},
	{syscall.ECONNRESET, "reset"},
	{syscall.EPIPE, "reset"},
	{net.ErrClosed, "closed"},
}
