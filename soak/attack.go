// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// attacker is one hostile connection, made again whenever it was ended.
type attacker struct {
	url, kind, cert string
	tally           *tally
}

type tally struct{ conns, frames, bytes atomic.Int64 }

const (
	framePause   = 50 * time.Millisecond
	attackWithin = 5 * time.Second // for one connection, which may be left half open
	longest      = 4 << 10         // of random bytes
)

// run attacks until ctx ends. Attackers do not keep time with each other.
func (a *attacker) run(ctx context.Context) {
	if pause(ctx, rand.N(framePause)) != nil { //nolint:gosec // dice, and no secret
		return
	}
	for ctx.Err() == nil {
		if err := a.once(ctx); err != nil && pause(ctx, framePause) != nil {
			return
		}
	}
}

// once opens a conn, gets as far as the dice have it, and sends frames until
// the other side has had enough. What comes back is read and forgotten.
func (a *attacker) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attackWithin)
	defer cancel()
	nc, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	a.tally.conns.Add(1)
	go func() { _, _ = io.Copy(io.Discard, nc) }() // ends with the conn
	for {
		frame := a.frame()
		n, err := nc.Write(frame)
		a.tally.frames.Add(1)
		a.tally.bytes.Add(int64(n))
		if err != nil && a.kind != "udp" {
			return err
		}
		if err := pause(ctx, framePause); err != nil {
			return err
		}
	}
}

// open dials. One conn of four has none of the handshakes behind it.
func (a *attacker) open(ctx context.Context) (net.Conn, error) {
	network, address := "tcp", a.url[strings.Index(a.url, "://")+3:]
	if a.kind == "unix" || a.kind == "udp" {
		network = a.kind
	}
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil || rand.IntN(4) == 0 { //nolint:gosec // dice, and no secret
		return nc, err
	}
	deadline, _ := ctx.Deadline()
	_ = nc.SetDeadline(deadline)
	if a.kind == "tls" || a.kind == "wss" {
		cfg := clientTLS(a.cert)
		cfg.ServerName = "127.0.0.1"
		nc = tls.Client(nc, cfg)
	}
	if strings.HasPrefix(a.kind, "ws") {
		if err := upgrade(nc, address); err != nil {
			_ = nc.Close()
			return nil, err
		}
	}
	return nc, nil
}

func upgrade(nc net.Conn, host string) error {
	_, err := fmt.Fprintf(nc, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// frame is random bytes, a good frame, or most often one that is good but for
// some of its bits or its end.
func (a *attacker) frame() []byte {
	if rand.IntN(4) == 0 { //nolint:gosec // dice, and no secret
		return noise(1 + rand.IntN(longest)) //nolint:gosec // dice, and no secret
	}
	msg := noise(1 + rand.IntN(maxMessage-8))                                     //nolint:gosec // dice, and no secret
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...) //nolint:gosec // short
	if strings.HasPrefix(a.kind, "ws") {
		frame = masked(frame)
	}
	switch rand.IntN(4) { //nolint:gosec // dice, and no secret
	case 0:
	case 1:
		frame = frame[:1+rand.IntN(len(frame))] //nolint:gosec // dice, and no secret
	default:
		for range 1 + rand.IntN(4) { //nolint:gosec // dice, and no secret
			// Most of them where the headers are.
			frame[rand.IntN(min(len(frame), 1+rand.IntN(32)))] ^= 1 << rand.IntN(8) //nolint:gosec // dice, and no secret
		}
	}
	return frame
}

// masked is a WebSocket frame of a client, with a key that changes nothing.
func masked(payload []byte) []byte {
	head := []byte{0x82, 0xfe, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(head[2:], uint16(len(payload))) //nolint:gosec // short
	if len(payload) < 126 {
		head = []byte{0x82, 0x80 | byte(len(payload)), 0, 0, 0, 0} //nolint:gosec // short
	}
	return append(head, payload...)
}

func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32()) //nolint:gosec // any byte
	}
	return b
}
