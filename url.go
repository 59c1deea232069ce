// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"crypto/tls"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// target is a parsed URL: a transport and where it listens or connects.
type target struct {
	kind    string // scheme: tcp, tls, unix, udp, ws, wss
	network string // for package net
	address string
	host    string // for TLS's ServerName

	path, rawPath, query string // of WebSocket; "" is any path to a server
	iface                string // to join a multicast group on
}

func (t *target) isWebSocket() bool { return t.kind == "ws" || t.kind == "wss" }
func (t *target) secure() bool      { return t.kind == "tls" || t.kind == "wss" }

// tlsConfig is cfg as the transport needs it: WebSocket is spoken over HTTP/1.1,
// whatever protocols cfg would agree on. A nil cfg stays nil.
func (t *target) tlsConfig(cfg *tls.Config) *tls.Config {
	if cfg == nil || !t.isWebSocket() || len(cfg.NextProtos) == 0 {
		return cfg
	}
	cfg = cfg.Clone()
	cfg.NextProtos = []string{"http/1.1"}
	return cfg
}

// parseURL understands tcp://host:port, tls://host:port, with an empty host for
// all addresses and 0 for any port, unix:///path, unix://@name for Linux's
// abstract sockets, udp://host:port?interface=name, ws://host:port/path and
// wss://host:port/path.
func parseURL(raw string) (target, error) {
	kind, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return target{}, urlError(raw, "has no scheme, want one of tcp, tls, unix, udp, ws, wss, then ://")
	}
	switch kind {
	case "tcp", "tls":
		return parseHostPort(raw, kind, rest)
	case "unix":
		if rest == "" {
			return target{}, urlError(raw, "has no path")
		}
		return target{kind: kind, network: "unix", address: rest}, nil
	case "ws", "wss":
		return parseWebSocket(raw, kind)
	case "udp":
		return parsePacketURL(raw, rest)
	}
	return target{}, urlError(raw, "has an unknown scheme, want tcp, tls, unix, udp, ws or wss")
}

func parseHostPort(raw, kind, rest string) (target, error) {
	if u, err := url.Parse(raw); err == nil && (u.RawQuery != "" || u.Fragment != "" || u.User != nil) {
		return target{}, urlError(raw, "has more than host and port")
	}
	host, port, err := net.SplitHostPort(strings.TrimSuffix(rest, "/"))
	if err != nil {
		return target{}, urlError(raw, "has no port, want "+kind+"://host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return target{}, urlError(raw, "has port "+strconv.Quote(port)+", want 0 to 65535")
	}
	return target{kind: kind, network: "tcp", address: net.JoinHostPort(host, port), host: host}, nil
}

// parseWebSocket: RFC 6455, section 3.
func parseWebSocket(raw, kind string) (target, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return target{}, urlError(raw, "is malformed, want "+kind+"://host:port/path")
	case u.User != nil:
		return target{}, urlError(raw, "has a user, which WebSocket has no place for; set a header")
	case u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return target{}, urlError(raw, "has a fragment, which WebSocket does not allow")
	}
	port := u.Port()
	switch {
	case port != "" || strings.HasSuffix(u.Host, ":"):
	case kind == "ws":
		port = "80"
	default:
		port = "443"
	}
	t, err := parseHostPort(kind+"://"+net.JoinHostPort(u.Hostname(), port), kind, net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return target{}, urlError(raw, "has port "+strconv.Quote(port)+", want 0 to 65535")
	}
	if t.path = anyOr(u.Path); t.path != "" {
		t.rawPath = u.RawPath
	}
	t.query = u.RawQuery
	return t, nil
}

// anyOr makes "/" the empty path, which stands for any.
func anyOr(path string) string {
	if path == "/" {
		return ""
	}
	return path
}

// parsePacketURL understands udp://host:port?interface=name.
func parsePacketURL(raw, rest string) (target, error) {
	rest, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	iface := values.Get("interface")
	if err != nil || len(values) > 1 || (query != "" && iface == "") {
		return target{}, urlError(raw, "has an unknown query, want ?interface=name")
	}
	t, err := parseHostPort("udp://"+rest, "udp", rest)
	t.network, t.iface = "udp", iface
	return t, err
}

func urlError(raw, problem string) error {
	return &ConfigError{Field: "URL " + strconv.Quote(raw), Problem: problem}
}

// urlOf is the URL under which a listener of the target can be dialed.
func urlOf(t target, addr net.Addr) string {
	path, host := url.URL{Path: t.path, RawPath: t.rawPath}, addr.String()
	if t.isWebSocket() {
		host = strings.Replace(host, "%", "%25", 1) // RFC 6874
	}
	return t.kind + "://" + host + path.EscapedPath()
}
