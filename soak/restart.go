// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"
)

// restartAll restarts the server each period until ctx ends: it is replaced,
// which says farewell and drains, and in turn cut, and back a moment later.
func (c *campaign) restartAll(ctx context.Context, period time.Duration) error {
	t := time.NewTimer(period)
	defer t.Stop()
	for replace := true; ; replace = !replace {
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
		if err := c.restart(replace); err != nil {
			return err
		}
		t.Reset(period)
		if err := c.await(ctx, period); err != nil {
			return err
		}
	}
}

// restart ends the server and has it back.
func (c *campaign) restart(replace bool) (err error) {
	c.mu.Lock()
	c.restarts++
	c.draining = replace
	c.mu.Unlock()
	c.calm(false)
	if replace {
		err = c.srv.replace()
	} else if err = c.srv.end("close"); err == nil {
		<-time.After(downTime)
		err = c.srv.listen()
	}
	c.calm(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = false
	return err
}

// calm tells the books whether the server is there.
func (c *campaign) calm(is bool) {
	var since int64
	if is {
		since = time.Now().UnixNano()
	}
	for _, l := range c.loads {
		l.books.calm.Store(since)
	}
}

// await notes how long it takes until all sessions are back, if not longer
// than until the next restart.
func (c *campaign) await(ctx context.Context, within time.Duration) error {
	begin := time.Now()
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := c.full(limited)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case err == nil:
		c.recovery.longest = max(c.recovery.longest, time.Since(begin))
	case errors.Is(err, context.DeadlineExceeded):
		c.recovery.never++
	default:
		return err
	}
	return nil
}
