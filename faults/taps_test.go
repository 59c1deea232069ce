// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// taps are the ends of conns that can be stopped anywhere, or fail.
type taps struct {
	trips
	mu     sync.Mutex
	list   []*tap
	failed int    // how many dials or accepts have failed
	failAt string // where they do; "": nowhere
	drips  map[string]time.Duration
}

// drip has the bytes that a side reads arrive one by one, with a pause before each.
func (ts *taps) drip(side string, pause time.Duration) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.drips = map[string]time.Duration{side: pause}
}

// streamConn is what the two sides have of a conn.
type streamConn interface {
	net.Conn
	CloseWrite() error
}

// tap is one end of a conn.
type tap struct {
	streamConn
	taps *taps
	side string
	fail chan struct{} // closed: writing fails
}

func (ts *taps) begin(b *bed) {
	if b.fault == noBuffers && b.moment == beforeOpen {
		ts.failAt = b.side
	}
}

func (ts *taps) dialer(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if ts.fails("client") {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ENOBUFS}
		}
		nc, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return ts.add(nc.(streamConn), "client"), nil
	}
}

// tapped is a listener whose conns have taps.
type tapped struct {
	net.Listener
	taps *taps
}

func (l tapped) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.taps.fails("server") {
		_ = nc.Close()
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.ENOBUFS}
	}
	return l.taps.add(nc.(streamConn), "server"), nil
}

// fails tells whether the next dial or accept fails: the first three do.
func (ts *taps) fails(side string) bool {
	if ts.failAt != side {
		return false
	}
	ts.conn(side)
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.failed++
	return ts.failed <= 3
}

func (ts *taps) add(nc streamConn, side string) *tap {
	c := &tap{nc, ts, side, make(chan struct{})}
	ts.mu.Lock()
	ts.list = append(ts.list, c)
	ts.mu.Unlock()
	ts.conn(side)
	return c
}

func (ts *taps) each(side string, f func(*tap)) {
	ts.mu.Lock()
	list := slices.Clone(ts.list)
	ts.mu.Unlock()
	for _, c := range list {
		if c.side == side {
			f(c)
		}
	}
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.streamConn.Read(p)
	c.taps.mu.Lock()
	pause := c.taps.drips[c.side]
	c.taps.mu.Unlock()
	if pause > 0 {
		<-time.After(pause)
	}
	return n, err
}

func (c *tap) Write(p []byte) (n int, err error) {
	err = c.taps.pass(c.side, p, func(p []byte) error {
		select {
		case <-c.fail:
			return &net.OpError{Op: "write", Net: "tcp", Err: syscall.ENOBUFS}
		default:
		}
		k, err := c.streamConn.Write(p)
		n += k
		return err
	})
	return n, err
}
