// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// wsRaw is a WebSocket peer that shares no code with getty, as a stream of
// lines: each line that is written becomes a message, and what is behind the
// last one a fragment that waits for the rest. CloseWrite is the close frame.
type wsRaw struct {
	net.Conn
	br     *bufio.Reader
	client bool
	path   string
	// extensions is what a client offers, and what a server answers: the offer
	// itself if that is asOffered. Once it is agreed on it is the server's answer.
	extensions string
	cut        int // size of messages that are no lines; 0: lines, -1: one for each Write

	once sync.Once
	err  error // of the handshake

	mu       sync.Mutex
	fragment bool // the last frame was not final
	said     bool // the close frame is sent

	rest []byte // received, not read
}

// rawEnd puts what a URL's scheme wants over a TCP or Unix conn. Handshakes of
// servers run with the first read or write.
func rawEnd(nc net.Conn, kind string, client bool, path string) net.Conn {
	if kind == "tls" || kind == "wss" {
		if client {
			cfg := clientTLS()
			cfg.ServerName = "localhost"
			nc = tls.Client(nc, cfg)
		} else {
			nc = tls.Server(nc, serverTLS())
		}
	}
	if kind == "ws" || kind == "wss" {
		return &wsRaw{Conn: nc, br: bufio.NewReader(nc), client: client, path: path}
	}
	return nc
}

func isWebSocket(tr transport) bool { return strings.HasPrefix(tr.name, "ws") }

// asWritten makes each Write to a WebSocket peer one message.
func asWritten(nc net.Conn) net.Conn {
	if w, ok := nc.(*wsRaw); ok {
		w.cut = -1
	}
	return nc
}

// below is what a WebSocket is spoken over.
func below(nc net.Conn) net.Conn {
	if w, ok := nc.(*wsRaw); ok {
		return w.Conn
	}
	return nc
}

// networkOf is the network below a scheme.
func networkOf(kind string) string {
	if kind == "unix" || kind == "udp" {
		return kind
	}
	return "tcp"
}

// Handshake runs the opening handshake, once.
func (w *wsRaw) Handshake() error {
	w.once.Do(func() {
		if w.client {
			w.err = w.ask()
		} else {
			w.err = w.answer()
		}
	})
	return w.err
}

const asOffered = "as offered"

const rawKey = "dGhlIHNhbXBsZSBub25jZQ==" // of RFC 6455, section 1.3

func (w *wsRaw) ask() error {
	_, err := fmt.Fprintf(w.Conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n", cmp.Or(w.path, "/"), rawKey, w.extensionLine())
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(w.br, nil)
	if err != nil {
		return err
	}
	if got := resp.Header.Get("Sec-WebSocket-Accept"); resp.StatusCode != 101 || got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		return fmt.Errorf("the answer is %s with accept %q", resp.Status, got)
	}
	w.extensions = resp.Header.Get("Sec-WebSocket-Extensions")
	return nil
}

// extensionLine is the line of the handshake for them, if there are any.
func (w *wsRaw) extensionLine() string {
	if w.extensions == "" {
		return ""
	}
	return "Sec-WebSocket-Extensions: " + w.extensions + "\r\n"
}

func (w *wsRaw) answer() error {
	r, err := http.ReadRequest(w.br)
	if err != nil {
		return err
	}
	if w.extensions == asOffered { // a parameter without a value is for offers only
		w.extensions = strings.TrimSuffix(r.Header.Get("Sec-WebSocket-Extensions"), "; client_max_window_bits")
	}
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = fmt.Fprintf(w.Conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
		base64.StdEncoding.EncodeToString(sum[:]), w.extensionLine())
	return err
}

// rawFrame is one frame; a client's is masked.
func rawFrame(client, fin bool, op byte, payload []byte) []byte {
	b := []byte{op, 0}
	if fin {
		b[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b[1] = byte(n)
	case n < 1<<16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if !client {
		return append(b, payload...)
	}
	b[1] |= 0x80
	key := [4]byte{0x12, 0xF3, 0x56, 0x9A}
	b = append(b, key[:]...)
	for i, c := range payload {
		b = append(b, c^key[i%4])
	}
	return b
}

func (w *wsRaw) Write(p []byte) (int, error) {
	if err := w.Handshake(); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said {
		return len(p), nil // nothing may follow the close frame
	}
	var frames []byte
	for rest := p; len(rest) > 0; {
		n := bytes.IndexByte(rest, '\n') + 1
		switch {
		case w.cut > 0:
			n = w.cut
		case w.cut < 0:
			n = len(rest)
		}
		whole := n > 0
		if !whole {
			n = len(rest)
		}
		op := byte(2)
		if w.fragment {
			op = 0
		}
		frames = append(frames, rawFrame(w.client, whole, op, rest[:n])...)
		w.fragment = !whole
		rest = rest[n:]
	}
	if _, err := w.Conn.Write(frames); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *wsRaw) Read(p []byte) (int, error) {
	if err := w.Handshake(); err != nil {
		return 0, err
	}
	for len(w.rest) == 0 {
		f, err := w.readFrame()
		switch {
		case err != nil:
			return 0, err
		case f.op == 8:
			_ = w.CloseWrite()
			return 0, io.EOF
		case f.op == 9:
			w.mu.Lock()
			_, _ = w.Conn.Write(rawFrame(w.client, true, 10, []byte(f.payload)))
			w.mu.Unlock()
		case f.op < 8:
			w.rest = []byte(f.payload)
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// readFrame reads one frame and removes its mask. What getty must not send is
// an error: a mask that is missing or too many, reserved bits that nothing was
// agreed on for, and fragments, as each message of getty's is one frame.
func (w *wsRaw) readFrame() (f ruleFrame, err error) {
	var h [2]byte
	if _, err = io.ReadFull(w.br, h[:]); err != nil {
		return f, err
	}
	f = ruleFrame{bits: h[0] & 0xF0, op: h[0] & 0x0F}
	masked, mayCompress := h[1]&0x80 != 0, w.extensions != "" && (f.op == 1 || f.op == 2)
	switch {
	case masked == w.client:
		return f, fmt.Errorf("a frame of opcode %d is masked: %v, received by a client: %v", f.op, masked, w.client)
	case f.bits != fin && (f.bits != fin|rsv1 || !mayCompress):
		return f, fmt.Errorf("a frame of opcode %d has the bits %#x", f.op, f.bits)
	}
	n := uint64(h[1] & 0x7F)
	switch n {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(w.br, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(w.br, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return f, err
	}
	var key [4]byte
	if masked {
		if _, err = io.ReadFull(w.br, key[:]); err != nil {
			return f, err
		}
	}
	payload := make([]byte, n)
	_, err = io.ReadFull(w.br, payload)
	if masked {
		for i := range payload {
			payload[i] ^= key[i%4]
		}
	}
	f.payload = string(payload)
	return f, err
}

// CloseWrite sends the close frame.
func (w *wsRaw) CloseWrite() error {
	if err := w.Handshake(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said {
		return nil
	}
	w.said = true
	_, err := w.Conn.Write(rawFrame(w.client, true, 8, []byte{0x03, 0xE8}))
	return err
}

// NetConn is the conn of the system below.
func (w *wsRaw) NetConn() net.Conn {
	if tc, ok := w.Conn.(*tls.Conn); ok {
		return tc.NetConn()
	}
	return w.Conn
}

// Close is clean between two lines only.
func (w *wsRaw) Close() error {
	w.mu.Lock()
	clean := !w.fragment
	w.mu.Unlock()
	if clean {
		_ = w.CloseWrite()
	}
	return w.Conn.Close()
}
