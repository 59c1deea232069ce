// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// answer is the server's half of the handshake on a conn of its own listener.
func (w *webSocket) answer(t *target) error {
	head, err := w.readHead(w.c.ep.cfg.WebSocket.MaxHeaderBytes)
	if errors.Is(err, errHeadTooLong) {
		return w.refuse(&UpgradeError{http.StatusRequestHeaderFieldsTooLarge, nil, err.Error()})
	}
	if err != nil {
		return err
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		return w.refuse(&UpgradeError{http.StatusBadRequest, nil, "the request is malformed: " + err.Error()})
	}
	if t.path != "" && r.URL.Path != t.path {
		return w.refuse(&UpgradeError{http.StatusNotFound, nil, fmt.Sprintf("the path is %q, not %q", r.URL.Path, t.path)})
	}
	answer, refusal := w.agree(r)
	if refusal != nil {
		return w.refuse(refusal)
	}
	w.head.Store(&head)
	return writeAll(w.c.conn, answer)
}

// refuse answers with an error. It returns it for the server's side.
func (w *webSocket) refuse(e *UpgradeError) error {
	err := writeAll(w.c.conn, e.response())
	if err == nil {
		err = w.c.conn.closeWrite()
	}
	if err == nil {
		w.awaitEOF()
	}
	return e
}

// awaitEOF lets the peer read the refusal: closing with its bytes unread would
// reset the connection.
func (w *webSocket) awaitEOF() {
	timeout := time.AfterFunc(w.c.lim.closeTimeout, func() { _ = w.c.conn.close() })
	defer timeout.Stop()
	for left := spill(maxSpill); ; {
		left.wait(w.c)
		w.c.in.used(w.c.in.len())
		if err := w.c.conn.read(&w.c.in); err != nil {
			return
		}
		left.count(w.c.in.len())
	}
}

// response is the whole answer.
func (e *UpgradeError) response() []byte {
	body := e.Problem + "\n"
	h := http.Header{
		"Connection": {"close"}, "Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {fmt.Sprint(len(body))},
	}
	e.addTo(h)
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%s\r\n%s", e.StatusCode, http.StatusText(e.StatusCode), headerLines(h), body)
}

// addTo adds what an answer with this status has to say.
func (e *UpgradeError) addTo(h http.Header) {
	switch e.StatusCode {
	case http.StatusUpgradeRequired:
		h.Set("Upgrade", "websocket")
		h.Set("Sec-WebSocket-Version", wsVersion)
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodGet)
	}
}

// agree checks a request (RFC 6455, section 4.2.1), settles what is to be
// settled, and returns the answer to it.
func (w *webSocket) agree(r *http.Request) ([]byte, *UpgradeError) {
	cfg, key := &w.c.ep.cfg.WebSocket, r.Header.Get("Sec-Websocket-Key")
	decoded, err := base64.StdEncoding.DecodeString(key)
	refuse := func(status int, problem string) ([]byte, *UpgradeError) {
		return nil, &UpgradeError{status, nil, problem}
	}
	switch {
	case r.Method != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, "the method is not GET")
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor > 1:
		return refuse(http.StatusHTTPVersionNotSupported, "the version of HTTP is not 1.1")
	case !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket"):
		return refuse(http.StatusUpgradeRequired, "this is not a WebSocket handshake")
	case !slices.Equal(r.Header.Values("Sec-Websocket-Version"), []string{wsVersion}):
		return refuse(http.StatusUpgradeRequired, "the version of WebSocket is not "+wsVersion)
	case r.Host == "":
		return refuse(http.StatusBadRequest, "there is no Host")
	case err != nil || len(decoded) != keyBytes || len(r.Header.Values("Sec-Websocket-Key")) != 1:
		return refuse(http.StatusBadRequest, "Sec-WebSocket-Key is not 16 bytes in base64")
	case r.ContentLength > 0 || len(r.TransferEncoding) > 0:
		return refuse(http.StatusBadRequest, "the request has a body")
	case !cfg.allows(r):
		return refuse(http.StatusForbidden, "this origin is not allowed")
	}
	h := cfg.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Upgrade", "websocket")
	h.Set("Connection", "Upgrade")
	h.Set("Sec-WebSocket-Accept", acceptKey(key))
	offered := tokens(r.Header, "Sec-Websocket-Protocol")
	for _, p := range cfg.Subprotocols {
		if slices.Contains(offered, p) {
			w.protocol = p
			h.Set("Sec-WebSocket-Protocol", p)
			break
		}
	}
	var extension string
	if w.deflate, extension = cfg.Deflate.accept(r.Header); w.deflate != nil {
		h.Set("Sec-WebSocket-Extensions", extension)
	}
	return fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\n%s\r\n", headerLines(h)), nil
}

// ServeHTTP makes a session of a request to upgrade to WebSocket, under the
// same rules as ws:// URLs, whatever the path. It returns when the request is
// answered; the session lives on goroutines of its own, until it ends or the
// Server, not the http.Server, is shut down. Only HTTP/1.1 can be upgraded.
// Middleware may wrap the ResponseWriter if it supports Unwrap or Hijack.
func (s *Server[M]) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	kind := "ws"
	if r.TLS != nil {
		kind = "wss"
	}
	ss := s.session(kind, nil)
	w := newWebSocket(&ss.core, false)
	ss.framing = w
	answer, refusal := w.agree(r)
	if refusal == nil && s.ep.isClosing() {
		refusal = &UpgradeError{http.StatusServiceUnavailable, nil, ErrServerClosed.Error()}
	}
	if refusal == nil {
		nc, err := w.hijack(rw)
		if err == nil {
			w.opening = &wsOpening{answer: answer}
			kept := r.Clone(r.Context()) // the request is ours to keep, its body is not
			kept.Body = http.NoBody
			w.request.Store(kept)
			s.adopt(ss, nc)
			return
		}
		w.c.in.release()
		refusal = &UpgradeError{http.StatusInternalServerError, nil, fmt.Sprintf("the conn cannot be taken over: %v", err)}
	}
	refusal.addTo(rw.Header())
	http.Error(rw, refusal.Problem, refusal.StatusCode)
	remote, err := net.ResolveTCPAddr("tcp", r.RemoteAddr) // http has it as a string; never a name
	if err != nil {
		remote = nil
	}
	s.ep.lost(ss.kind, remote, refusal)
}

// hijack takes the conn over, with what has been read ahead.
func (w *webSocket) hijack(rw http.ResponseWriter) (net.Conn, error) {
	nc, buffered, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return nil, err
	}
	if n := buffered.Reader.Buffered(); n > 0 {
		ahead, _ := buffered.Peek(n)
		w.c.in.add(ahead)
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		_ = nc.Close()
		return nil, err
	}
	w.c.conn = newStreamConn(nc)
	return nc, nil
}

// adopt starts the session of a conn that was hijacked.
func (s *Server[M]) adopt(ss *Session[M], nc net.Conn) {
	if err := s.ep.enter(&ss.core); err != nil {
		refusal := &UpgradeError{http.StatusServiceUnavailable, nil, err.Error()}
		_, _ = nc.Write(refusal.response())
		_ = nc.Close()
		ss.in.release()
		s.ep.failed(ss.kind, nc.RemoteAddr(), err)
		return
	}
	go func() { _ = ss.start(nil, false) }()
}
