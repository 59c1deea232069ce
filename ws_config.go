// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// MessageType says whether messages are sent as text or as binary.
type MessageType uint8

const (
	// MessageBinary sends binary messages. It is the zero value.
	MessageBinary MessageType = iota
	// MessageText sends text, which must be UTF-8: sending anything else fails
	// with ErrInvalidUTF8.
	MessageText
	// MessageLast sends what the last received message was, binary before the first.
	MessageLast
)

// WebSocketConfig configures ws:// and wss:// URLs and Server.ServeHTTP. The zero
// value is useful. Origins, CheckOrigin are a server's; Proxy is a client's.
type WebSocketConfig struct {
	// MessageType of what is sent. Zero: MessageBinary. Both types are received.
	MessageType MessageType

	// Subprotocols, in order of preference. A client offers them; a server
	// chooses the first of its own that the client offers, or none.
	// Session.Upgrade tells which. Each must be a token of RFC 9110. nil: none.
	Subprotocols []string

	// Origins are the origins, besides the server's own, from which browsers may
	// connect, such as "https://example.com"; "*" is any. A request without an
	// Origin header does not come from a browser and is let in.
	Origins []string
	// CheckOrigin decides instead, if set. It is called on the goroutine of the
	// handshake.
	CheckOrigin func(r *http.Request) bool

	// Header is added to a client's request or to a server's answer. The headers
	// of the handshake itself cannot be set.
	Header http.Header

	// MaxHeaderBytes bounds the head of the peer's request or answer.
	// 0: 16 KiB. Range: 256 to 1 MiB.
	MaxHeaderBytes int

	// Deflate compresses messages by RFC 7692, if both sides want it.
	Deflate Deflate

	// Proxy returns the proxy for a request, or nil for none; see
	// http.ProxyFromEnvironment and http.ProxyURL. http:// proxies are asked to
	// CONNECT; for others write a Dial hook. nil: no proxy.
	Proxy func(r *http.Request) (*url.URL, error)
}

// Deflate configures permessage-deflate.
type Deflate struct {
	// Enabled offers it, or accepts an offer.
	Enabled bool
	// ContextTakeover lets messages refer to earlier ones, in each direction that
	// the peer wants it as well: smaller messages for up to 1.2 MB per session to
	// send and 32 KiB to receive. Without it sessions hold nothing.
	ContextTakeover bool
	// WindowBits bounds how far back references go, to 1<<WindowBits bytes, on
	// both sides if the peer can. 0: 15. Range: 8 to 15.
	WindowBits int
}

// DefaultMaxHeaderBytes is WebSocketConfig.MaxHeaderBytes for 0.
const DefaultMaxHeaderBytes = 16 << 10

// complete fills in defaults, copies and checks.
func (c *WebSocketConfig) complete(v *validator) {
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, DefaultMaxHeaderBytes)
	c.Deflate.WindowBits = cmp.Or(c.Deflate.WindowBits, maxWindowBits)
	c.Subprotocols, c.Origins = slices.Clone(c.Subprotocols), slices.Clone(c.Origins)
	c.Header = c.Header.Clone()

	v.size("WebSocket.MessageType", int(c.MessageType), 0, int(MessageLast))
	v.size("WebSocket.MaxHeaderBytes", c.MaxHeaderBytes, 256, 1<<20)
	v.size("WebSocket.Deflate.WindowBits", c.Deflate.WindowBits, minWindowBits, maxWindowBits)
	for _, p := range c.Subprotocols {
		if !isToken(p) {
			v.fail("WebSocket.Subprotocols", "has %q, want a token of RFC 9110", p)
		}
	}
	for _, o := range c.Origins {
		if u, err := url.Parse(o); o != "*" && (err != nil || u.Scheme == "" || u.Host == "" || strings.TrimSuffix(u.Path, "/") != "") {
			v.fail("WebSocket.Origins", "has %q, want scheme://host, or *", o)
		}
	}
	for name, values := range c.Header {
		switch {
		case !isToken(name):
			v.fail("WebSocket.Header", "has the name %q, want a token of RFC 9110", name)
		case slices.Contains(handshakeHeaders, http.CanonicalHeaderKey(name)):
			v.fail("WebSocket.Header", "has %s, which the handshake sets itself", name)
		case slices.ContainsFunc(values, func(s string) bool { return strings.ContainsAny(s, "\r\n\x00") }):
			v.fail("WebSocket.Header", "has a line break in %s", name)
		}
	}
}

// allows decides about the origin of a request: that of the server itself by
// default.
func (c *WebSocketConfig) allows(r *http.Request) bool {
	if c.CheckOrigin != nil {
		return c.CheckOrigin(r)
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return true
	}
	return slices.ContainsFunc(c.Origins, func(o string) bool {
		return o == "*" || strings.EqualFold(strings.TrimSuffix(o, "/"), origin)
	})
}
