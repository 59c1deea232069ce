// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"runtime/debug"
)

// batch decodes the messages in data one by one and has each handled. It runs
// on the session's goroutine or on a worker, and is the place where bytes
// become messages.
func (s *Session[M]) batch(data []byte) (used int, err error) {
	c, messages, returned := &s.core, 0, false
	defer func() {
		c.msgsIn.Add(int64(messages))
		if !returned {
			err = c.callbackEnded(recover())
		}
	}()
	limit := c.lim.maxMessage
	for used < len(data) && c.delivers() {
		rest := data[used:]
		if len(rest) > limit {
			rest = rest[:limit]
		}
		msg, n, derr := s.codec.Decode(rest)
		if derr != nil || n <= 0 || n > len(rest) {
			err = undecoded(n, len(rest), limit, derr)
			break
		}
		used += n
		messages++
		if more := used < len(data); more != c.collect.Load() {
			c.collect.Store(more)
			c.merged = true
		}
		if err = s.events.OnMessage(s, msg); err != nil {
			break
		}
	}
	returned = true
	return used, err
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
	return err
}
