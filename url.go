// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// target is a parsed URL: a transport and where it listens or connects.
type target struct {
	kind    string // scheme: tcp, tls, unix
	network string // for package net
	address string
	host    string // for TLS's ServerName
	iface   string // to join a multicast group on
}

// parseURL understands tcp://host:port, tls://host:port, with an empty host for
// all addresses and 0 for any port, unix:///path, and unix://@name for Linux's
// abstract sockets.
func parseURL(raw string) (target, error) {
	kind, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return target{}, urlError(raw, "has no scheme, want tcp://host:port, tls://host:port or unix:///path")
	}
	switch kind {
	case "tcp", "tls":
		return parseHostPort(raw, kind, rest)
	case "unix":
		if rest == "" {
			return target{}, urlError(raw, "has no path")
		}
		return target{kind: kind, network: "unix", address: rest}, nil
	case "udp":
		return parsePacketURL(raw, rest)
	case "ws", "wss":
		return target{}, fmt.Errorf("%w: %s", ErrUnsupported, kind)
	}
	return target{}, urlError(raw, "has an unknown scheme, want tcp, tls or unix")
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

// urlOf is the URL under which a listener of the given kind can be dialed.
func urlOf(kind string, addr net.Addr) string { return kind + "://" + addr.String() }
