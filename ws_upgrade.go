// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455, section 1.3, wants it; nothing is kept secret by it
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// What both sides of the opening handshake have in common (RFC 6455, section 4).
// The heads are parsed by net/http.

// wsOpening is what a session needs until it is open.
type wsOpening struct {
	target *target // of the listener or the dialer; nil under ServeHTTP
	answer []byte  // to a request that ServeHTTP has checked
}

// Upgrade is how a WebSocket session came about.
type Upgrade struct {
	// Request is what a server has received, without a body. Its TLS field is the
	// state of the conn. nil on a client, and when it was given up.
	Request *http.Request
	// Response is what a client has received. nil on a server, and when it was given up.
	Response *http.Response
	// Subprotocol is what was agreed on, or "".
	Subprotocol string
	// Compressed: permessage-deflate was agreed on.
	Compressed bool
}

// Upgrade tells of the opening handshake of a WebSocket session; it is nil for
// other transports. Ask in Configure or OnOpen: where nobody has asked by the
// end of OnOpen, Request and Response are given up, and nil from then on, so
// that idle sessions do not hold them. The result is the caller's.
func (s *Session[M]) Upgrade() *Upgrade {
	w, ok := s.framing.(*webSocket)
	if !ok {
		return nil
	}
	w.asked.Store(true)
	u := &Upgrade{Subprotocol: w.protocol, Compressed: w.deflate != nil, Request: w.request.Load()}
	if u.Request != nil {
		u.Request = u.Request.Clone(u.Request.Context())
	}
	text := w.head.Load()
	if text == nil {
		return u
	}
	head := bufio.NewReader(strings.NewReader(*text))
	if w.client {
		u.Response, _ = http.ReadResponse(head, &http.Request{Method: http.MethodGet})
	} else {
		u.Request, _ = http.ReadRequest(head)
		if t, ok := s.conn.netConn().(*tls.Conn); ok && u.Request != nil {
			state := t.ConnectionState()
			u.Request.TLS = &state
		}
	}
	if u.Request != nil {
		u.Request.RemoteAddr = textOf(s.RemoteAddr())
	}
	return u
}

// UpgradeError is why an opening handshake failed.
type UpgradeError struct {
	// StatusCode is what a server has answered, to the client that gets this
	// error or because of it. 0: no answer.
	StatusCode int
	// Header is that of the answer to a client.
	Header http.Header
	// Problem says what is wrong.
	Problem string
}

// Error gives the problem and the status.
func (e *UpgradeError) Error() string {
	if e.StatusCode == 0 {
		return "getty: websocket handshake: " + e.Problem
	}
	return fmt.Sprintf("getty: websocket handshake: %s (status %d)", e.Problem, e.StatusCode)
}

const (
	wsVersion = "13"
	wsGUID    = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	keyBytes  = 16
)

// handshakeHeaders are set by getty alone.
var handshakeHeaders = []string{
	"Host", "Upgrade", "Connection", "Content-Length", "Transfer-Encoding", "Sec-Websocket-Key", "Sec-Websocket-Accept",
	"Sec-Websocket-Version", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions",
}

// acceptKey is the answer to a key.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + wsGUID)) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// frameFor gives a session the framing of its target's transport.
func (c *core) frameFor(t *target, client bool) {
	if t.isWebSocket() {
		w := newWebSocket(c, client)
		w.opening = &wsOpening{target: t}
		c.framing = w
	}
}

// opened forgets the peer's half of the handshake unless it was asked for.
func (w *webSocket) opened() {
	if !w.asked.Load() {
		w.head.Store(nil)
		w.request.Store(nil)
	}
}

// open brings the conn from HTTP to WebSocket.
func (w *webSocket) open() error {
	opening := w.opening
	w.opening = nil
	switch {
	case w.client:
		return w.ask(opening.target)
	case opening.answer != nil:
		return writeAll(w.c.conn, opening.answer)
	default:
		return w.answer(opening.target)
	}
}

// readHead reads a head of HTTP of at most limit bytes, up to and with its empty
// line. What comes behind it stays in the window.
func (w *webSocket) readHead(limit int) (string, error) {
	for {
		data := w.c.in.bytes()
		end := bytes.Index(data, []byte("\r\n\r\n")) + 4
		switch {
		case end > limit, end < 4 && len(data) > limit:
			return "", errHeadTooLong
		case end >= 4:
			head := string(data[:end])
			w.c.in.used(end)
			return head, nil
		}
		if err := w.c.conn.read(&w.c.in); err != nil {
			return "", err
		}
	}
}

var errHeadTooLong = errors.New("the head is longer than WebSocket.MaxHeaderBytes")

// hasToken reports whether a header that is a list contains a token.
func hasToken(h http.Header, name, token string) bool {
	return slices.ContainsFunc(tokens(h, name), func(item string) bool { return strings.EqualFold(item, token) })
}

// tokens are the items of a header that is a list.
func tokens(h http.Header, name string) (list []string) {
	for _, line := range h.Values(name) {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
	}
	return list
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for _, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) {
			return false
		}
	}
	return s != ""
}

// headerLines are the lines of h as HTTP has them.
func headerLines(h http.Header) string {
	var b strings.Builder
	_ = h.Write(&b)
	return b.String()
}
