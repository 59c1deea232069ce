// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// UDP over one socket of many peers: udp_listen.go reads it and hands each
// packet to the session of its peer (udp_peer.go). A client's session has a
// connected socket of its own (udp_client.go). Both keep packets as records in
// the session's buffers (udp_framing.go), and both stand on a packetIO: many
// packets per system call on Linux, package net elsewhere.

// UDP configures udp:// URLs and ServePacket.
type UDP struct {
	// MaxSessions is how many peers the servers of an endpoint hold at once, as a
	// session each. A packet from a further one is dropped and counted in
	// Stats.UDP.Refused and Stats.Refusals; no session makes room for it before it
	// ends. Config.MaxSessions counts in addition. 0: 16384. Range: 1 to
	// math.MaxInt32.
	MaxSessions int
	// MaxPacketSize is the longest packet that is received, in bytes of payload.
	// A longer one is dropped whole and counted in Stats.UDP.Truncated. A socket
	// borrows Batch buffers of this size while it reads.
	// 0: 65535, what UDP can carry. Range: 1 to 65535.
	MaxPacketSize int
	// QueueSize bounds the packets that have arrived for a server's session while
	// that is busy, in bytes with 4 for each packet. A packet that does not fit
	// is dropped and counted in Stats.UDP.Dropped, unless it would be the only
	// one. A client leaves them in the kernel. 0: 256 KiB. Range: 1 to math.MaxInt32.
	QueueSize int
	// Batch is how many packets one system call receives or sends, at most, where
	// the system can do that: on Linux. 1: each has its own. 0: 16. Range: 1 to 64.
	Batch int
	// NoOffload keeps packets of one size that leave together from being handed
	// over as one, for the kernel or the device to take apart (GSO, on Linux), and
	// such that arrive together from being received as one (GRO, unless
	// MaxPacketSize is smaller than its default). Where a path refuses GSO, it ends
	// by itself. False: they are.
	NoOffload bool
}

// The defaults of UDP, and of IdleTimeout for the sessions of udp:// servers.
const (
	DefaultUDPMaxSessions   = 16384
	DefaultUDPMaxPacketSize = 65535
	DefaultUDPQueueSize     = 256 << 10
	DefaultUDPBatch         = 16
	DefaultUDPIdleTimeout   = time.Minute
)

func (u *UDP) complete() {
	u.MaxSessions = cmp.Or(u.MaxSessions, DefaultUDPMaxSessions)
	u.MaxPacketSize = cmp.Or(u.MaxPacketSize, DefaultUDPMaxPacketSize)
	u.QueueSize = cmp.Or(u.QueueSize, DefaultUDPQueueSize)
	u.Batch = cmp.Or(u.Batch, DefaultUDPBatch)
}

func (u *UDP) check(v *validator) {
	v.size("UDP.MaxSessions", u.MaxSessions, 1, math.MaxInt32)
	v.size("UDP.MaxPacketSize", u.MaxPacketSize, 1, DefaultUDPMaxPacketSize)
	v.size("UDP.QueueSize", u.QueueSize, 1, math.MaxInt32)
	v.size("UDP.Batch", u.Batch, 1, 64)
}

// UDPStats counts packets that were lost or odd, as far as this side knows. They
// are all zero for other transports.
type UDPStats struct {
	// Dropped packets arrived while the queue of their session was full.
	Dropped int64
	// Truncated ones were longer than UDP.MaxPacketSize, and dropped whole.
	Truncated int64
	// Spoiled ones held something else than whole messages. Messages in front of
	// that have been handled.
	Spoiled int64
	// Refused ones came from peers beyond UDP.MaxSessions. Only endpoints count them.
	Refused int64
	// SoftErrors are errors of the socket that a session survives, such as an
	// unreachable peer or a full queue of the network device; SendErrors counts
	// the packets that were left out on account of one, or of their size.
	SoftErrors, SendErrors int64
}

func (st *UDPStats) add(s UDPStats) {
	st.Dropped += s.Dropped
	st.Truncated += s.Truncated
	st.Spoiled += s.Spoiled
	st.Refused += s.Refused
	st.SoftErrors += s.SoftErrors
	st.SendErrors += s.SendErrors
}

// packetCounters is UDPStats while it counts, of a session or of an endpoint.
type packetCounters struct {
	dropped, truncated, spoiled, refused, softErrors, sendErrors atomic.Int64

	left leftOut // a unit of the last write that was not sent; the writer's
}

func (pc *packetCounters) stats() UDPStats {
	if pc == nil {
		return UDPStats{}
	}
	return UDPStats{
		Dropped: pc.dropped.Load(), Truncated: pc.truncated.Load(), Spoiled: pc.spoiled.Load(),
		Refused: pc.refused.Load(), SoftErrors: pc.softErrors.Load(), SendErrors: pc.sendErrors.Load(),
	}
}

// udpShared is what the UDP sockets of an endpoint share.
type udpShared struct {
	count packetCounters // of packets that belong to no session
	// denied packets came from addresses that Guard.Access keeps out.
	denied atomic.Int64
	peers  atomic.Int64 // of servers
	limit  int64        // of peers
	lim    *limits      // of accepted sessions: they always end when idle

	// buffers to receive into. A socket holds one only while it reads.
	buffers sync.Pool //nolint:unused // of Linux
}

func (u *udpShared) init(cfg *Config, lim *limits) {
	u.limit = int64(cfg.UDP.MaxSessions)
	if cfg.MaxSessions > 0 {
		u.limit = min(u.limit, int64(cfg.MaxSessions))
	}
	u.lim = lim
	if lim.idle == 0 {
		own := *lim
		own.idle = DefaultUDPIdleTimeout
		u.lim = &own
	}
}

// take enters a peer if there is room; leave gives the room back.
func (u *udpShared) take() bool {
	if u.peers.Add(1) <= u.limit {
		return true
	}
	u.peers.Add(-1)
	return false
}

func (u *udpShared) leave() { u.peers.Add(-1) }

// packetIO reads and writes the packets of one socket. One goroutine receives
// at a time; any number may send.
type packetIO interface {
	// receive waits for packets and hands over those that have arrived. park is
	// called before it waits. An error is that of one try: the next may succeed.
	receive(park func(), got func(packet)) error

	// send sends the records at the front of p, and tells how many packets and
	// bytes of p these were. It stops at a record that could not be sent, with
	// the error. errAgain: the socket's buffer is full.
	send(to *udpDest, p []byte) (packets, n int, err error)

	// prepare fills in to.raw.
	prepare(to *udpDest)

	close() error
}

// packet is what was received, valid during the call that hands it over.
type packet struct {
	data      []byte
	from      netip.AddrPort // unmapped; invalid: a connected socket or no IP network
	other     net.Addr       // the sender, where from cannot tell
	local     netip.Addr     // what it was sent to; invalid if unknown
	truncated bool
}

// senderAddr is the address of a packet's sender; see packet.
func senderAddr(from netip.AddrPort, other net.Addr) net.Addr {
	if other != nil {
		return other
	}
	return net.UDPAddrFromAddrPort(from)
}

// udpDest is where packets go: nowhere in particular on a connected socket.
type udpDest struct {
	peer  netip.AddrPort
	other net.Addr
	local netip.Addr // the source to send from; invalid: the system chooses
	raw   rawDest    //nolint:unused // the same, as the kernel of Linux wants it
}

// udpNetwork is what an error says about itself.
const udpNetwork = "udp"

// maxPayload is the longest packet that UDP over IPv4 carries: 16 bits of length,
// with 20 bytes of IP header and 8 of UDP (RFC 791, RFC 768).
const maxPayload = 65507

// hardError reports whether a socket is of no use after err. Everything else is
// about single packets or passes: an unreachable peer, a device's full queue, a
// firewall, a lack of memory.
func hardError(err error) bool {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		switch errno {
		case syscall.EBADF, syscall.ENOTSOCK, syscall.EFAULT, syscall.EOPNOTSUPP:
			return true
		}
		return false
	}
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, os.ErrClosed):
		return true
	}
	ne, ok := errors.AsType[net.Error](err)
	return !ok || !ne.Timeout()
}

// wsaECONNRESET is how Windows says that an earlier packet was refused.
const wsaECONNRESET = syscall.Errno(10054)

// unreachable reports whether err tells what became of earlier packets: asking
// again at once is right.
func unreachable(err error) bool {
	for _, e := range [...]error{
		syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ECONNRESET, syscall.EINTR,
		wsaECONNRESET,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// sendFault is what a sender is told about a packet that was left out.
func sendFault(err error) error {
	if errors.Is(err, syscall.EMSGSIZE) {
		return fmt.Errorf("%w: %w", ErrPacketTooLong, err)
	}
	return err
}
