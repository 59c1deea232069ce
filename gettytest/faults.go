// SPDX-License-Identifier: Apache-2.0

package gettytest

import (
	"math/rand/v2"
	"time"
)

// defaultBuffer is Faults.Buffer for 0.
const defaultBuffer = 64 << 10

// Faults describes what goes wrong on a conn. The zero value is a perfect,
// instant network. Negative values count as zero. It is copied by the call that
// receives it.
type Faults struct {
	// Seed of all random choices. Each conn, and on it each direction and each
	// reader, draws from a sequence of its own: the same seed and the same calls
	// give the same faults, however goroutines are scheduled. Conns of a Network
	// are numbered in the order of Dial.
	Seed uint64

	// Latency is how long each Write is on its way, and how long the end of the
	// stream is after a close. Jitter adds a random time up to itself to Writes.
	// Nothing overtakes what was written before. Writers do not wait for it;
	// Dial waits for one round trip.
	Latency, Jitter time.Duration

	// MaxRead makes a Read return a random number of bytes from 1 to MaxRead at
	// the most. 0: whatever has arrived.
	MaxRead int
	// MaxWrite makes a Write hand over its bytes in pieces of random sizes from
	// 1 to MaxWrite. Each has a Jitter of its own and no Read returns bytes of
	// two pieces of one Write. Write still writes everything before it returns.
	// 0: in one piece.
	MaxWrite int

	// Buffer is how many bytes of one direction may be written and not read yet
	// before Write waits. 0: 64 KiB.
	Buffer int

	// ResetAfter breaks the conn behind so many bytes of one direction: its
	// reader gets exactly these, then ECONNRESET, its writer ECONNRESET for the
	// next byte. 0: never.
	ResetAfter int64
}

// complete is f with its defaults.
func (f Faults) complete() Faults {
	f.Latency, f.Jitter = max(f.Latency, 0), max(f.Jitter, 0)
	f.MaxRead, f.MaxWrite = max(f.MaxRead, 0), max(f.MaxWrite, 0)
	f.ResetAfter = max(f.ResetAfter, 0)
	if f.Buffer <= 0 {
		f.Buffer = defaultBuffer
	}
	return f
}

// delay draws how long one piece is on its way.
func (f *Faults) delay(r *rand.Rand) time.Duration {
	if f.Jitter == 0 {
		return f.Latency
	}
	return f.Latency + time.Duration(r.Int64N(int64(f.Jitter)+1))
}

// upTo draws how many of n bytes go at once under a limit.
func upTo(n, limit int, r *rand.Rand) int {
	if limit == 0 {
		return n
	}
	return min(n, 1+r.IntN(limit))
}

// The users of random numbers that each conn has.
const (
	diceDial = iota
	diceClientWrites
	diceServerWrites
	diceClientReads
	diceServerReads
	diceCount
)

// dice returns the random numbers of one user on conn number id.
func (f *Faults) dice(id, user uint64) *rand.Rand {
	return rand.New(rand.NewPCG(f.Seed, id*diceCount+user)) //nolint:gosec // a failure is to be replayed from its seed
}
