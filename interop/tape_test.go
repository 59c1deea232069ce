// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// tape is a conn whose peer has said all it will ever say: reads play that back
// in pieces, then end. What is written is recorded.
type tape struct {
	step   int
	mu     sync.Mutex
	rest   []byte
	closed bool
	wrote  bytes.Buffer
	// answer, if set, is the handshake of a server: it comes once the request
	// has been written.
	answer func(key, extensions string) string
}

func (c *tape) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case len(c.rest) == 0:
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.step)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *tape) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.wrote.Write(p)
	if c.answer == nil || !bytes.HasSuffix(c.wrote.Bytes(), []byte("\r\n\r\n")) {
		return len(p), nil
	}
	r, err := http.ReadRequest(bufio.NewReader(&c.wrote))
	if err != nil {
		return 0, err
	}
	c.wrote.Reset()
	c.rest = append([]byte(c.answer(r.Header.Get("Sec-WebSocket-Key"), r.Header.Get("Sec-WebSocket-Extensions"))), c.rest...)
	c.answer = nil
	return len(p), nil
}

func (c *tape) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

func (c *tape) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// written is what was recorded behind a head of HTTP.
func (c *tape) written() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := bytes.Clone(c.wrote.Bytes())
	if bytes.HasPrefix(b, []byte("HTTP/")) {
		_, b, _ = bytes.Cut(b, []byte("\r\n\r\n"))
	}
	return b
}

const deflateOffer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// upgrade plays a tape to a server behind a handshake.
func upgrade(h http.Handler, c *tape, deflate bool) (status int) {
	r := httptest.NewRequest(http.MethodGet, "http://localhost/", nil)
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	if deflate {
		r.Header.Set("Sec-WebSocket-Extensions", deflateOffer)
	}
	w := &hijacked{httptest.NewRecorder(), c}
	h.ServeHTTP(w, r)
	return w.Code
}

type hijacked struct {
	*httptest.ResponseRecorder
	conn *tape
}

func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// switching is the handshake of a server without extensions.
func switching(key, _ string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return fmt.Sprintf("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
}
