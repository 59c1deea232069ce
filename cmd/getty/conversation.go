// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/getty-net/getty"
)

// conversation is what goes on between standard input and output and a pool.
type conversation[M text] struct {
	getty.NopEvents[M]
	std stdio
	raw bool
	url string

	mu     sync.Mutex // held while a message is printed
	last   time.Time  // when the last one was
	outErr error      // why one was not
	stop   func()     // ends the conversation
}

// note tells the user on standard error.
func (t *conversation[M]) note(format string, args ...any) {
	_, _ = fmt.Fprintf(t.std.err, format+"\n", args...)
}

func (t *conversation[M]) OnOpen(s *getty.Session[M]) error {
	t.note("session %d open to %s", s.ID(), t.url)
	return nil
}

func (t *conversation[M]) OnClose(s *getty.Session[M], cause error) {
	switch {
	case cause == nil, errors.Is(cause, getty.ErrShutdown):
		t.note("session %d closed from here", s.ID())
	case errors.Is(cause, io.EOF), errors.Is(cause, getty.ErrRestart):
		t.note("session %d closed by the peer", s.ID())
	default:
		t.note("session %d closed: %s", s.ID(), oneLine(cause))
	}
}

func (t *conversation[M]) OnMessage(_ *getty.Session[M], msg M) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := []byte(msg)
	if !t.raw {
		out = append(out, '\n')
	}
	if t.outErr == nil {
		_, t.outErr = t.std.out.Write(out)
	}
	t.last = time.Now()
	if t.outErr != nil {
		t.stop()
	}
	return nil
}

// run sends the lines of standard input until it or ctx ends, and lets the
// answers arrive.
func (t *conversation[M]) run(ctx context.Context, client *getty.Client[M], wait time.Duration) error {
	lines := make(chan string)
	var readErr error // set before lines is closed
	go func() {
		defer close(lines)
		readErr = readLines(ctx, t.std.in, lines)
	}()
	unsent := 0
	for {
		select {
		case line, more := <-lines:
			if !more {
				t.quiet(ctx, client, wait)
				return t.result(unsent, readErr)
			}
			if err := client.Send(ctx, t.message(line)); err != nil {
				unsent++
				t.note("not sent: %s", strings.TrimPrefix(oneLine(err), "getty: "))
			}
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return t.result(unsent, nil)
		}
	}
}

func (t *conversation[M]) result(unsent int, readErr error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.outErr != nil:
		return fmt.Errorf("standard output: %w", t.outErr)
	case unsent > 0:
		return fmt.Errorf("%d messages were not sent", unsent)
	case readErr != nil:
		return fmt.Errorf("standard input: %w", readErr)
	}
	return nil
}

// message makes a message of a line. Only raw keeps the newline: the other
// codecs have a border between messages without it.
func (t *conversation[M]) message(line string) M {
	if !t.raw {
		line = strings.TrimSuffix(line, "\n")
	}
	return M(line)
}

// quiet waits until nothing has come for a while and no message is on its way out.
// There is no better sign of the last answer: any codec and any server may be
// at the other end.
func (t *conversation[M]) quiet(ctx context.Context, client *getty.Client[M], wait time.Duration) {
	const look = 10 // times within wait: a long answer comes in pieces
	var came int64
	for since := time.Now(); ; {
		t.mu.Lock()
		if t.last.After(since) {
			since = t.last
		}
		t.mu.Unlock()
		if st := client.Stats(); st.Pending > 0 || st.BytesIn > came {
			since, came = time.Now(), st.BytesIn
		}
		left := wait - time.Since(since)
		if left <= 0 {
			return
		}
		select {
		case <-time.After(min(left, wait/look+time.Millisecond)):
		case <-ctx.Done():
			return
		}
	}
}

// readLines sends what in holds line by line, newlines included, until its end.
func readLines(ctx context.Context, in io.Reader, lines chan<- string) error {
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			select {
			case lines <- line:
			case <-ctx.Done():
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
