// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package main

import (
	"context"
	"errors"
	"sync"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// caller is a client of the server: it sends lines, and knows what to do when a
// session is about to end.
type caller struct {
	client *getty.Client[string]
	reply  func(line string)
}

// newCaller makes a client with a pool of sessions. reply is called for each
// answer.
func newCaller(url string, pool int, reply func(line string), cfg getty.ClientConfig) (*caller, error) {
	c := &caller{reply: reply}
	cfg.PoolSize = pool
	client, err := getty.NewClient(url, codec.Line{}, getty.EventFuncs[string]{Open: c.opened, Message: c.received}, cfg)
	c.client = client
	return c, err
}

// calls are those of one session that wait for their answers.
type calls struct {
	mu      sync.Mutex
	waiting int
	leaving bool // the server has said farewell
}

type callsKey struct{}

func (c *caller) opened(s *getty.Session[string]) error {
	s.SetValue(callsKey{}, new(calls))
	return nil
}

func callsOf(s *getty.Session[string]) *calls {
	return s.Value(callsKey{}).(*calls)
}

// send sends a line over any session that is not about to end.
func (c *caller) send(ctx context.Context, line string) error {
	for {
		s, err := c.client.Session(ctx)
		if err != nil {
			return err
		}
		w := callsOf(s)
		w.mu.Lock()
		w.waiting++
		w.mu.Unlock()
		if err = s.SendContext(ctx, line); err == nil {
			return nil
		}
		w.mu.Lock()
		w.waiting--
		w.mu.Unlock()
		if !getty.SafeToRetry(err) || ctx.Err() != nil || errors.Is(err, codec.ErrBadMessage) {
			return err // it would be the same on any session
		}
	}
}

// received takes an answer, or the farewell: the session is replaced then, and
// closed with its last answer.
func (c *caller) received(s *getty.Session[string], line string) error {
	w := callsOf(s)
	if line == farewell {
		c.client.Retire(s)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.leaving = true
	} else {
		c.reply(line)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiting--
	}
	if w.leaving && w.waiting == 0 {
		return s.Close()
	}
	return nil
}
