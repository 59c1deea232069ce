// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"time"
)

// loop is the reader of a session, on a goroutine of its own with a small
// stack: it waits, hands what has arrived to the callbacks, and finishes the
// session. After closing has begun it only discards.
//
// The goroutine is replaced by a fresh one after the session's first batch, and
// then at most once a second: a stack never shrinks below what a handler once
// needed while its goroutine lives, and most sessions mostly wait.
func (c *core) loop() {
	exited := true
	defer func() {
		if exited {
			// A callback called runtime.Goexit, which takes this goroutine with
			// it. The session is draining by now.
			go c.loop()
		}
	}()
	err := c.readAll()
	exited = false
	if err == errFresh {
		go c.loop()
		return
	}
	c.readEnded(err)
}

// freshAfter is how long a reader's goroutine is kept at least.
const freshAfter = time.Second

// errFresh asks loop for a fresh goroutine.
var errFresh = errors.New("getty: fresh goroutine")

func (c *core) readAll() error {
	// What came with the handshake is there without a read.
	ready := c.kept == 0 && c.in.len() > 0
	if ready && c.bytesIn.Load() == 0 {
		c.bytesIn.Add(int64(c.in.len() - c.in.headers))
		c.in.headers = 0
	}
	for {
		if !c.delivers() {
			return c.readOut()
		}
		if !ready {
			if _, err := c.readCounted(); err != nil {
				return err
			}
			if c.lim.peer.MinRate > 0 {
				c.progress()
			}
		}
		ready = false
		now := c.ep.now()
		c.lastRead.Store(int64(now))
		if c.in.waited {
			c.yielder.slept = momentOf(now)
		}
		if !c.delivers() {
			continue
		}
		if err := c.handle(); err != nil {
			c.closeWith(err)
		}
		if c.kept == 0 || now-c.kept > freshAfter {
			c.kept = now
			return errFresh
		}
	}
}

func (c *core) readCounted() (n int, err error) {
	had := c.in.len()
	if err := c.readMore(); err != nil {
		return 0, err
	}
	n = c.in.len() - had - c.in.headers
	c.bytesIn.Add(int64(n))
	c.in.headers = 0
	return n, nil
}

// nothingYet is for connOwner: the peer is alive.
func (c *core) nothingYet() { c.touchRead() }

// charge is for connOwner: Limits.Bytes holds for them, too.
func (c *core) charge(n int) {
	if c.lim.peer.metered() && c.delivers() {
		c.timers.meter.seenB -= int64(n)
		c.timers.meter.count(c)
		c.phase.Store(uint32(phaseNone))
	}
}

// waits is for connOwner: the conn may hold the part of a message.
func (c *core) waits() {
	if !c.timesParts() {
		return
	}
	c.notePartial(c.progress(), false)
}

// progress notes how much has come. It reports whether the conn holds the part of
// a record or piece.
func (c *core) progress() (part bool) {
	part, got := heldBelow(c.conn)
	c.timers.moved.Store(c.bytesIn.Load() + int64(got))
	return part
}

// timesParts reports whether there is a limit for parts of messages. Before
// OnOpen there are no timers yet.
func (c *core) timesParts() bool {
	return c.timers != nil && (c.lim.messageTimeout > 0 || c.lim.peer.MinRate > 0)
}

// discard forgets what has arrived, but for one byte: with nothing held a conn
// may have to begin each read with a single byte. It reports whether the peer
// has said in its transport's way that this was all.
func (c *core) discard() (end bool) {
	if c.framing == nil {
		c.in.used(max(c.in.len()-1, 0))
		return false
	}
	for {
		_, n, _, err := c.framing.next(c.in.bytes())
		c.framing.release()
		c.in.used(n)
		if err != nil || n == 0 {
			return err != nil
		}
	}
}

// handle runs one batch, here or on a worker, and sends what it collected.
// Waiting for a worker is a part of it: the peer cannot do anything about that.
func (c *core) handle() (err error) {
	had := c.msgsIn.Load()
	switch ex := c.ep.exec; {
	case ex == nil:
		err = c.runBatch()
	case c.framing == nil:
		c.phase.Store(uint32(phaseMessage))
		err = c.handOver(ex)
	default:
		if err = c.skim(); err == nil && c.job.skimmed {
			c.phase.Store(uint32(phaseMessage))
			err = c.handOver(ex)
		}
	}
	if c.timesParts() {
		c.notePartial(false, c.msgsIn.Load() != had)
	}
	if c.timers != nil || c.is(stateMuted) {
		c.handled.Store(int64(c.ep.now()))
	}
	if err == nil && c.lim.peer.metered() && c.delivers() {
		c.timers.meter.count(c)
	}
	c.phase.Store(uint32(phaseNone))
	return err
}

// skim does here what is the transport's own, up to the first unit with
// messages: busy workers delay neither a ping's answer nor the end.
func (c *core) skim() error {
	c.needJob()
	for {
		unit, n, ok, err := c.framing.next(c.in.bytes())
		c.in.used(n)
		if err != nil {
			return err
		}
		if ok {
			c.job.ahead, c.job.skimmed = unit, true
			return nil
		}
		if n == 0 {
			c.framing.release()
			return nil
		}
	}
}

func (c *core) runBatch() error {
	used, err := c.top.batch(c.in.bytes())
	c.in.used(used)
	if c.merged {
		c.merged = false
		c.collect.Store(false)
		_ = c.flush()
	}
	return err
}

// notePartial remembers since when a part of a message is waiting for its rest,
// in the window or, with below, where the conn holds it.
func (c *core) notePartial(below, progress bool) {
	switch {
	case !below && c.in.len() == 0 && (c.framing == nil || !c.framing.midway()):
		c.timers.partial.Store(0)
	case progress || c.timers.partial.Load() == 0:
		c.timers.partial.Store(int64(c.ep.now())) // not before the callbacks of this batch
	}
}
