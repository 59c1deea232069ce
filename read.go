// SPDX-License-Identifier: Apache-2.0

package getty

// loop is the reader of a session, on a goroutine of its own with a small
// stack: it waits, hands what has arrived to the callbacks, and finishes the
// session. After closing has begun it only discards.
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
	c.readEnded(err)
}

func (c *core) readAll() error {
	for {
		had := c.in.len()
		if err := c.conn.read(&c.in); err != nil {
			return err
		}
		c.bytesIn.Add(int64(c.in.len() - had))
		c.touchRead()
		if !c.is(stateOpen) {
			c.in.release()
			continue
		}
		err := c.handle()
		if err != nil {
			c.closeWith(err)
		}
	}
}

// handle runs one batch, here or on a worker, and sends what it collected.
func (c *core) handle() error {
	if ex := c.ep.exec; ex != nil {
		return c.handOver(ex)
	}
	return c.runBatch()
}

func (c *core) runBatch() error {
	c.phase.Store(uint32(phaseMessage))
	used, err := c.top.batch(c.in.bytes())
	c.phase.Store(uint32(phaseNone))
	c.in.used(used)
	if c.lim.messageTimeout > 0 {
		c.notePartial(used > 0)
	}
	c.collect.Store(false)
	_ = c.flush()
	return err
}

// notePartial remembers since when a part of a message is waiting for its rest.
func (c *core) notePartial(progress bool) {
	switch {
	case c.in.len() == 0:
		c.partial.Store(0)
	case progress || c.partial.Load() == 0:
		c.partial.Store(c.lastRead.Load())
	}
}
