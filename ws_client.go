// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ask is the client's half of the handshake.
func (w *webSocket) ask(t *target) error {
	cfg := &w.c.ep.cfg.WebSocket
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails
	r := t.request(cfg.Header.Clone())
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Sec-WebSocket-Version", wsVersion)
	r.Header.Set("Sec-WebSocket-Key", base64.StdEncoding.EncodeToString(key))
	if len(cfg.Subprotocols) > 0 {
		r.Header.Set("Sec-WebSocket-Protocol", strings.Join(cfg.Subprotocols, ", "))
	}
	if cfg.Deflate.Enabled {
		r.Header.Set("Sec-WebSocket-Extensions", cfg.Deflate.offer())
	}
	head := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", r.URL.RequestURI(), r.Host, headerLines(r.Header))
	if err := writeAll(w.c.conn, head); err != nil {
		return err
	}
	resp, err := w.readAnswer(r)
	if err != nil {
		return err
	}
	return w.check(resp, acceptKey(r.Header.Get("Sec-WebSocket-Key")))
}

// readAnswer reads the server's answer behind its interim ones. The limit is for
// all of them together.
func (w *webSocket) readAnswer(r *http.Request) (*http.Response, error) {
	for left := w.c.ep.cfg.WebSocket.MaxHeaderBytes; ; {
		head, err := w.readHead(left)
		if err != nil {
			return nil, err
		}
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head)), r)
		if err != nil {
			return nil, &UpgradeError{Problem: "the answer is malformed: " + err.Error()}
		}
		_ = resp.Body.Close()
		if !isInterim(resp) {
			w.head.Store(&head)
			return resp, nil
		}
		left -= len(head)
	}
}

// isInterim reports whether another answer follows (RFC 9110, section 15.2).
func isInterim(resp *http.Response) bool {
	return resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols
}

// check holds the server's answer against RFC 6455, section 4.1.
func (w *webSocket) check(resp *http.Response, accept string) error {
	cfg, h := &w.c.ep.cfg.WebSocket, resp.Header
	refuse := func(format string, args ...any) error {
		return &UpgradeError{resp.StatusCode, h, fmt.Sprintf(format, args...)}
	}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return refuse("the server redirects to %q, which is not followed", h.Get("Location"))
	case resp.StatusCode != http.StatusSwitchingProtocols:
		return refuse("the server does not switch to WebSocket")
	case !hasToken(h, "Upgrade", "websocket") || !hasToken(h, "Connection", "upgrade"):
		return refuse("the server does not upgrade to websocket")
	case h.Get("Sec-Websocket-Accept") != accept:
		return refuse("Sec-WebSocket-Accept is %q, not %q", h.Get("Sec-Websocket-Accept"), accept)
	}
	if chosen := h.Values("Sec-Websocket-Protocol"); len(chosen) > 0 {
		if len(chosen) > 1 || !slices.Contains(cfg.Subprotocols, chosen[0]) {
			return refuse("the server chose the subprotocol %q, which was not offered", chosen)
		}
		w.protocol = chosen[0]
	}
	d, err := cfg.Deflate.accepted(h)
	if err != nil {
		return refuse("%s", err)
	}
	w.deflate = d
	return nil
}

// request is the handshake's request, as far as the target tells it.
func (t *target) request(h http.Header) *http.Request {
	if h == nil {
		h = http.Header{}
	}
	u := &url.URL{Scheme: "http", Host: hostHeader(t), Path: t.path, RawPath: t.rawPath, RawQuery: t.query}
	if t.secure() {
		u.Scheme = "https"
	}
	return &http.Request{
		Method: http.MethodGet, URL: u, Host: u.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// hostHeader is the address without a default port.
func hostHeader(t *target) string {
	host, port, _ := net.SplitHostPort(t.address)
	host, _, _ = strings.Cut(host, "%") // a zone is this host's business (RFC 6874, section 1)
	if host == "" {
		host = "localhost"
	}
	if (t.kind == "ws" && port == "80") || (t.kind == "wss" && port == "443") {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, port)
}

// proxyFor returns the proxy to connect through, or nil.
func (d *dialer) proxyFor() (*url.URL, error) {
	if !d.target.isWebSocket() || d.ep.cfg.WebSocket.Proxy == nil {
		return nil, nil
	}
	p, err := d.ep.cfg.WebSocket.Proxy(d.target.request(nil))
	if err != nil || p == nil {
		return nil, err
	}
	if p.Scheme != "http" || p.Host == "" {
		return nil, &ConfigError{Field: "WebSocket.Proxy", Problem: fmt.Sprintf("gave %s, want http://host:port; write a Dial hook for others", p.Redacted())}
	}
	if p.Port() == "" {
		p = &url.URL{Scheme: p.Scheme, User: p.User, Host: net.JoinHostPort(p.Hostname(), "80")}
	}
	return p, nil
}

// tunnel has a proxy connect nc to the target (RFC 9110, section 9.3.6).
func (d *dialer) tunnel(ctx context.Context, nc net.Conn, proxy *url.URL) error {
	stop := context.AfterFunc(ctx, func() { _ = shut(nc) })
	defer stop()
	h := http.Header{}
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		h.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	_, err := fmt.Fprintf(nc, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", d.target.address, d.target.address, headerLines(h))
	if err != nil {
		return err
	}
	// The proxy says nothing behind its head before we do, so nothing is read ahead.
	answer := bufio.NewReader(&headLimit{nc, d.ep.cfg.WebSocket.MaxHeaderBytes})
	asked := &http.Request{Method: http.MethodConnect}
	resp, err := http.ReadResponse(answer, asked)
	for err == nil && isInterim(resp) {
		resp, err = http.ReadResponse(answer, asked)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("proxy %s: %w", proxy.Host, err)
	case resp.StatusCode/100 != 2:
		return &UpgradeError{resp.StatusCode, resp.Header, "the proxy does not connect"}
	case answer.Buffered() > 0:
		return &UpgradeError{resp.StatusCode, resp.Header, "the proxy sends data of its own"}
	}
	return nil
}

// headLimit reads at most left bytes from conn.
type headLimit struct {
	conn net.Conn
	left int
}

func (l *headLimit) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, errHeadTooLong
	}
	n, err := l.conn.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
