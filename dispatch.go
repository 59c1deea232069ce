// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/getty-net/getty/internal/bufpool"
)

// batch decodes the messages in data one by one and has each handled. It runs
// on the session's goroutine or on a worker, and is the place where bytes
// become messages.
func (s *Session[M]) batch(data []byte) (used int, err error) {
	c, messages, returned := &s.core, 0, false
	defer func() {
		c.msgsIn.Add(int64(messages))
		if !returned {
			recovered := recover()
			if err = c.callbackEnded(recovered); recovered == nil {
				c.in.used(used) // the caller does not go on
			}
		}
	}()
	if c.framing != nil {
		err = s.units(data, &used, &messages)
	} else {
		var bad error
		if used, bad, err = s.decode(data, false, &messages); err == nil {
			err = bad
		}
	}
	returned = true
	return used, err
}

// decode has the messages in data handled. bad says why the rest is no message;
// it is nil if more bytes may make it one. follows: there is more behind data.
func (s *Session[M]) decode(data []byte, follows bool, messages *int) (used int, bad, err error) {
	c := &s.core
	limit := c.lim.maxMessage
	for used < len(data) && c.delivers() {
		rest := data[used:]
		if len(rest) > limit {
			rest = rest[:limit]
		}
		msg, n, derr := s.codec.Decode(rest)
		if derr != nil || n <= 0 || n > len(rest) {
			return used, undecoded(n, len(rest), limit, derr), nil
		}
		if n == limit && s.cutsShort(data[used:]) {
			return used, fmt.Errorf("%w: %d bytes came as one, at most %d are allowed", ErrMessageTooLong, len(data)-used, limit), nil
		}
		used += n
		if !c.delivers() { // closed while it was decoded
			break
		}
		c.counted(messages, follows || used < len(data))
		err = s.events.OnMessage(s, msg)
		if bufpool.Debug {
			bufpool.Poison(rest[:n]) // an alias of the message is worth nothing from here on
		}
		if err != nil {
			break
		}
	}
	return used, nil, err
}

// cutsShort reports whether the message that unit begins with, the longest there
// may be, ends there only because no more was shown of it: to some codecs, such as
// codec.Raw, all of a unit is one message.
func (s *Session[M]) cutsShort(unit []byte) bool {
	limit := s.lim.maxMessage
	if s.framing == nil || len(unit) == limit {
		return false
	}
	_, n, err := s.codec.Decode(unit[:limit-1])
	return err == nil && n > 0 && n == limit-1
}

// counted is called with each message, before OnMessage. Sends are collected
// while more of the batch follows.
func (c *core) counted(messages *int, more bool) {
	if *messages++; *messages == 1 {
		c.phase.Store(uint32(phaseMessage))
	}
	if more != c.collect.Load() {
		c.collect.Store(more)
		c.merged = true
	}
}

// units is decode for transports with boundaries of their own. What a unit has
// used is told before its messages are handled, since a callback may not return.
func (s *Session[M]) units(data []byte, used, messages *int) (err error) {
	c := &s.core
	defer c.framing.release()
	if j := c.job; j != nil && j.skimmed {
		j.skimmed = false
		err = s.unit(j.ahead, len(data) > 0, messages)
	}
	for err == nil && c.delivers() {
		unit, n, ok, ferr := c.framing.next(data[*used:])
		*used += n
		switch {
		case ferr != nil:
			return ferr
		case ok:
			err = s.unit(unit, *used < len(data), messages)
		case n == 0:
			return nil
		}
	}
	return err
}

// unit has the messages of one unit handled, which must fill it.
func (s *Session[M]) unit(unit []byte, follows bool, messages *int) error {
	var bad, err error
	if len(unit) == 0 {
		bad, err = s.emptyUnit(follows, messages)
	} else {
		var used int
		used, bad, err = s.decode(unit, follows, messages)
		if left := len(unit) - used; bad == nil && err == nil && left > 0 && s.delivers() {
			bad = fmt.Errorf("%w: %d bytes are left of %d", ErrIncomplete, left, len(unit))
		}
	}
	if bad != nil && err == nil {
		err = s.framing.spoiled(bad)
	}
	return err
}

// emptyUnit has a unit of 0 bytes handled if that is a message to the codec.
func (s *Session[M]) emptyUnit(follows bool, messages *int) (bad, err error) {
	ed, ok := s.codec.(EmptyDecoder[M])
	if !ok || !s.delivers() { // it may have waited for a worker
		return nil, nil
	}
	msg, derr := ed.DecodeEmpty()
	switch {
	case errors.Is(derr, errors.ErrUnsupported):
		return nil, nil
	case derr != nil:
		return undecoded(0, 0, s.lim.maxMessage, derr), nil
	case !s.delivers(): // closed while it was decoded
		return nil, nil
	}
	s.counted(messages, follows)
	return nil, s.events.OnMessage(s, msg)
}

// undecoded says what a Decode means that gave no message; nil: wait for more.
func undecoded(n, have, limit int, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("getty: decode: %w", err)
	case n < 0:
		return fmt.Errorf("%w: Decode used %d bytes", ErrCodec, n)
	case n > limit:
		return fmt.Errorf("%w: %d bytes announced, at most %d allowed", ErrMessageTooLong, n, limit)
	case have >= limit:
		return fmt.Errorf("%w: more than %d bytes", ErrMessageTooLong, limit)
	}
	return nil
}

// callbackEnded turns a callback that did not return into the cause of the
// session's end. recovered is what recover gave: nil after runtime.Goexit,
// which cannot be stopped, so the session is closed from here.
func (c *core) callbackEnded(recovered any) error {
	if recovered == nil {
		c.phase.Store(uint32(phaseNone))
		c.collect.Store(false)
		c.closeWith(ErrGoexit)
		return ErrGoexit
	}
	return &PanicError{Value: recovered, Stack: debug.Stack()}
}

// guard runs one of the rarer callbacks under the same rules as batch.
func (c *core) guard(p phase, callback func() error) (err error) {
	returned := false
	c.phase.Store(uint32(p))
	defer func() {
		c.phase.Store(uint32(phaseNone))
		if !returned {
			err = c.callbackEnded(recover())
		}
	}()
	err = callback()
	returned = true
	return harmless(err)
}
