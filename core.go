// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/getty-net/getty/internal/bufpool"
)

// core is a session as the engine knows it: bytes in, bytes out, and one end.
// Session[M] embeds it and knows messages. There is one reader (loop, in
// read.go) and one writer at a time (a sender or the drainer, in write.go).
type core struct {
	// Immutable once the session is open.
	ep   *endpoint
	id   uint64
	conn conn
	top  top

	framing framing         // nil for streams
	packets *packetCounters // nil unless UDP
	lim     *limits
	kind    string        // the URL scheme
	born    time.Duration // when OnOpen was called, on the endpoint's clock
	origin  *origin       // nil unless there is something to it

	timers *timers // nil unless cron, keepalive or a read timeout is set

	// Owned by the reader.
	in      window
	yielder yielder
	kept    time.Duration // since when the reader has its goroutine; 0: since the start

	// Owned by the writer, set by the conn.
	headers int // bytes of the last write that are not on the wire

	// Atomic.
	state    atomic.Uint32 // written under mu
	phase    atomic.Uint32 // the callback that runs
	collect  atomic.Bool   // sends are collected: more input waits
	merged   bool          // sends of this batch were collected; the reader's
	lastRead atomic.Int64  // nanoseconds since ep.start
	handled  atomic.Int64  // when the last batch was done with; only with timers or muted
	bytesIn  atomic.Int64
	msgsIn   atomic.Int64

	// Guarded by mu.
	mu       sync.Mutex
	buf      *bufpool.Buf            // encoded, not taken by a writer yet
	cur      outgoing                // taken by the writer, who alone touches it
	pending  int                     // bytes in buf and cur
	outSize  int                     // size of the next buf, follows the traffic
	writing  bool                    // there is a writer
	control  bool                    // the conn has bytes of its own to write
	entered  bool                    // at the flusher
	halved   bool                    // the write side is closed or broken
	seen     bool                    // it was open once: OnClose follows
	met      bool                    // the handshake is over: the peer understands a farewell
	granted  bool                    // the turn of one that waits for room has come
	filling  bool                    // room is given out, until the high watermark is reached
	cutting  bool                    // the conn is being closed
	peak     uint32                  // most bytes in buf before compression, since the last write
	owed     func(dst []byte) []byte // a control frame that waits for room
	room     chan struct{}           // closed at the low watermark; nil if nobody asked
	queue    []chan struct{}         // of senders that wait for room, each closed in turn
	passed   int                     // bytes sent past the queue since the last turn
	quiet    chan struct{}           // closed when writing or cutting ends; nil if nobody waits
	done     chan struct{}           // closed when closing begins; nil if nobody asked
	ctx      *sessionContext         // nil if nobody asked
	cause    error
	bytesOut int64
	msgsOut  int64
	dropped  int64
	values   map[any]any
	lingerT  *time.Timer // of a muted or draining session
	job      *job        // nil unless an executor runs the batches; the reader's
}

// top is what the engine asks of the Session[M] above it: once per session,
// period or batch, never per message.
type top interface {
	// configure runs the user's Configure.
	configure() error
	// opened, cron and closed run the callbacks of their names.
	opened() error
	cron()
	closed(cause error) error
	// batch decodes the messages in data and has them handled. It returns how
	// many bytes they used.
	batch(data []byte) (used int, err error)
}

func (c *core) is(s state) bool { return state(c.state.Load()) == s }

// delivers reports whether what arrives is handed to OnMessage.
func (c *core) delivers() bool { return c.is(stateOpen) || c.is(stateMuted) }

// closing reports whether closing has begun.
func (c *core) closing() bool { return state(c.state.Load()) >= stateDraining }

// touchRead and touchSent note progress for idle timeouts and LastActive.
func (c *core) touchRead() { c.lastRead.Store(int64(c.ep.now())) }
func (c *core) touchSent() { c.timers.lastSent.Store(int64(c.ep.now())) } // if there are timers
