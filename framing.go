// SPDX-License-Identifier: Apache-2.0

package getty

// framing is what a transport has between bytes and messages if it keeps
// boundaries of its own: WebSocket messages, UDP packets. A stream has none.
// What the peer sent as one is a unit here: it holds whole messages of the
// codec, usually one.
type framing interface {
	// open runs the transport's own handshake over the conn, with mu not held.
	// What came behind it may stand in the window.
	open() error

	// opened is told that OnOpen has succeeded.
	opened()

	// next takes the next unit out of data, which begins where the previous call
	// stopped. The unit is valid until release or the next call; used bytes are
	// done with when its messages have been handled. Without ok there is no
	// unit: if used is 0 either, more bytes are needed. Whatever the transport
	// sends for itself, such as pings, is handled here. An error ends the
	// session. It is called by the batch, and by the reader while draining.
	next(data []byte) (unit []byte, used int, ok bool, err error)

	// midway reports whether next has taken a part of a unit.
	midway() bool

	// eof is what the end of the bytes means between two units.
	eof() error

	// spoiled is told of a unit that holds something else than whole messages.
	// It returns the cause of the session's end, or nil to go on behind it.
	spoiled(err error) error

	// release gives back what next has borrowed for the last unit, drop what it
	// has borrowed at all: nothing comes any more.
	release()
	drop()

	// begin appends room for the header of a unit; end completes the unit that
	// begin began at start, and returns dst[:start] with the unit behind it. Its
	// error is the sender's. Both are called with mu held.
	begin(dst []byte) []byte
	end(dst []byte, start int) ([]byte, error)

	// prepared returns p in the form that is ready to be sent, if sessions can
	// share it, or nil.
	prepared(p *Prepared) []byte

	// ping appends a question that every peer answers, farewell what tells the
	// peer why the session ends. Transports without add nothing. Both are called
	// with mu held, farewell once.
	ping(dst []byte) []byte
	farewell(dst []byte, cause error) []byte

	// halfClose reports whether the write side is to be closed once everything,
	// the farewell too, is flushed. Otherwise the peer is waited for. It is
	// called with mu held.
	halfClose() bool
}

// packetConn is a conn that is its own framing.
type packetConn interface {
	conn
	framing
	// bind tells the conn its session.
	bind(c *core)
}

// sendControl sends what add appends, past senders that wait: it is the
// transport's own, and small. Over the high watermark, when the peer does not
// read, it is left out, or with owed kept until there is room, the last of all.
func (c *core) sendControl(add func(dst []byte) []byte, owed bool) {
	c.mu.Lock()
	if c.is(stateOpen) && c.pending >= c.lim.high {
		if owed {
			c.owed = add
		}
		c.mu.Unlock()
		return
	}
	c.sendPast(add)
}

// sendPast sends what add appends past all that limits senders. It is called
// with mu held, and releases it.
func (c *core) sendPast(add func(dst []byte) []byte) {
	if !c.is(stateOpen) {
		c.mu.Unlock()
		return
	}
	c.appendControl(add)
	if c.writing {
		c.mu.Unlock()
		return
	}
	_ = c.flushLocked(0)
}

// appendControl is called with mu held.
func (c *core) appendControl(add func(dst []byte) []byte) {
	buf := c.outBuf()
	had := len(buf.B)
	buf.B = add(buf.B)
	c.pending += len(buf.B) - had
}

// sayFarewell is called with mu held when the session begins to drain.
func (c *core) sayFarewell() {
	if c.framing != nil && !c.halved {
		c.appendControl(func(dst []byte) []byte { return c.framing.farewell(dst, c.cause) })
	}
}

// lastWords are for a session that is cut: what can be written of its farewell
// at once, if nobody is in the middle of writing. It is called with mu held and
// a session that was not draining, and releases mu meanwhile.
func (c *core) lastWords() {
	if c.framing == nil || !c.met || c.writing || c.halved {
		return
	}
	c.writing = true
	p := c.framing.farewell(nil, c.cause)
	c.mu.Unlock()
	_, _ = c.conn.tryWrite(p)
	c.mu.Lock()
	c.noWriter()
}
