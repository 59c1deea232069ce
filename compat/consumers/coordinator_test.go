// SPDX-License-Identifier: Apache-2.0

package consumers_test

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Seata's protocol, version 1: a header of 16 bytes (magic, version, whole length, length of the header, kind, codec,
// compression, id), then the code of the message and what belongs to it.
const (
	seataHeader = 16

	seataResponse = 1
	seataPing     = 3
	seataPong     = 4

	seataBegin      = 1
	seataBegun      = 2
	seataRegister   = 101
	seataRegistered = 102
)

// coordinator is a stub of Seata's transaction coordinator: it lets clients register and begin transactions.
type coordinator struct {
	l          net.Listener
	registered chan struct{} // a token for each registration
	pinged     chan struct{} // the same for heartbeats
	group      sync.WaitGroup

	mu      sync.Mutex
	conns   []net.Conn
	stopped bool
}

// coordinate starts a coordinator. It is stopped at the end of the test.
func coordinate(t *testing.T, address string) *coordinator {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := &coordinator{l: l, registered: make(chan struct{}, 64), pinged: make(chan struct{}, 64)}
	c.group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			if c.conns = append(c.conns, conn); c.stopped {
				_ = conn.Close()
			}
			c.mu.Unlock()
			c.group.Go(func() { c.serve(conn) })
		}
	})
	t.Cleanup(func() { c.stop(false) })
	return c
}

// stop closes all connections, with a reset as after a crash, or in order.
func (c *coordinator) stop(reset bool) {
	_ = c.l.Close()
	c.mu.Lock()
	c.stopped = true
	for _, conn := range c.conns {
		if reset {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.group.Wait()
}

func (c *coordinator) serve(conn net.Conn) {
	defer conn.Close()
	for {
		frame := make([]byte, seataHeader)
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		total := int(binary.BigEndian.Uint32(frame[3:]))
		if total < seataHeader || total > 1<<20 {
			return
		}
		body := make([]byte, total-seataHeader)
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		if answer := c.answer(frame, body); answer != nil {
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	}
}

// answer is the frame that answers another, or nil.
func (c *coordinator) answer(header, body []byte) []byte {
	var code uint16
	if len(body) >= 2 {
		code = binary.BigEndian.Uint16(body)
	}
	switch {
	case header[9] == seataPing:
		c.pinged <- struct{}{}
		return seataFrame(header, seataPong, nil)
	case code == seataRegister:
		c.registered <- struct{}{}
		return seataFrame(header, seataResponse, []byte{0, seataRegistered, 1, 0, 1, 'v'}) // identified, version
	case code == seataBegin:
		return seataFrame(header, seataResponse, []byte{0, seataBegun, 1, 0, 0, 3, 'x', 'i', 'd', 0, 0}) // success, error, xid, extra
	}
	return nil
}

// seataFrame answers the frame that has the header.
func seataFrame(header []byte, kind byte, body []byte) []byte {
	frame := append(append([]byte(nil), header...), body...)
	binary.BigEndian.PutUint32(frame[3:], uint32(len(frame)))
	binary.BigEndian.PutUint16(frame[7:], seataHeader)
	frame[9] = kind
	return frame
}

// comes tells whether there is a token in time.
func comes(tokens <-chan struct{}, patience time.Duration) bool {
	select {
	case <-tokens:
		return true
	case <-time.After(patience):
		return false
	}
}
