// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// The negotiation of permessage-deflate (RFC 7692, section 7.1).

const deflateName = "permessage-deflate"

// deflateOffer is one set of parameters, offered or accepted.
type deflateOffer struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits                         int  // 0: not given
	serverBitsGiven                    bool // by a client, who is to get them back (section 7.1.2.1)
	clientBits                         int  // 0: not given
	clientBitsAllowed                  bool // the parameter was given, maybe without a value
}

// parseDeflate understands the parameters behind the name of the extension.
// answer: they are a server's, whose every parameter has its value.
func parseDeflate(params []string, answer bool) (o deflateOffer, ok bool) {
	given := map[string]bool{}
	for _, param := range params {
		name, value, hasValue := strings.Cut(strings.TrimSpace(param), "=")
		name, value = strings.TrimSpace(name), strings.Trim(strings.TrimSpace(value), `"`)
		if given[name] {
			return o, false
		}
		given[name] = true
		bits := 0
		if hasValue {
			n, err := strconv.Atoi(value)
			if err != nil || n < minWindowBits || n > maxWindowBits || value != strconv.Itoa(n) {
				return o, false
			}
			bits = n
		}
		switch {
		case name == "server_no_context_takeover" && !hasValue:
			o.serverNoTakeover = true
		case name == "client_no_context_takeover" && !hasValue:
			o.clientNoTakeover = true
		case name == "server_max_window_bits" && hasValue:
			o.serverBits = bits
		case name == "client_max_window_bits" && (hasValue || !answer):
			o.clientBits, o.clientBitsAllowed = bits, true
		default:
			return o, false
		}
	}
	return o, true
}

// extensions are the items of Sec-WebSocket-Extensions, split at its semicolons.
func extensions(h http.Header) (list [][]string) {
	for _, item := range tokens(h, "Sec-Websocket-Extensions") {
		parts := strings.Split(item, ";")
		parts[0] = strings.TrimSpace(parts[0])
		list = append(list, parts)
	}
	return list
}

// accept chooses the first of a client's offers that can be met, and
// returns it with the answer to the client, or nil.
func (cfg *Deflate) accept(h http.Header) (*deflate, string) {
	if !cfg.Enabled {
		return nil, ""
	}
	for _, ext := range extensions(h) {
		if ext[0] != deflateName {
			continue
		}
		o, ok := parseDeflate(ext[1:], false)
		if !ok {
			continue
		}
		o.serverNoTakeover = o.serverNoTakeover || !cfg.ContextTakeover
		o.clientNoTakeover = o.clientNoTakeover || !cfg.ContextTakeover
		o.serverBitsGiven = o.serverBits > 0
		o.serverBits = min(orMax(o.serverBits), cfg.WindowBits)
		if o.clientBits = orMax(o.clientBits); o.clientBitsAllowed {
			o.clientBits = min(o.clientBits, cfg.WindowBits)
		}
		return &deflate{
			bitsOut: o.serverBits, bitsIn: o.clientBits,
			keepOut: !o.serverNoTakeover, keepIn: !o.clientNoTakeover,
		}, o.String()
	}
	return nil, ""
}

// offer is what a client asks for.
func (cfg *Deflate) offer() string {
	o := deflateOffer{
		serverNoTakeover: !cfg.ContextTakeover, clientNoTakeover: !cfg.ContextTakeover,
		serverBits: cfg.WindowBits, clientBits: cfg.WindowBits, clientBitsAllowed: true,
	}
	s := o.String()
	if cfg.WindowBits == maxWindowBits {
		s += "; client_max_window_bits"
	}
	return s
}

// accepted holds a server's answer against the offer.
func (cfg *Deflate) accepted(h http.Header) (*deflate, error) {
	list := extensions(h)
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > 1 || list[0][0] != deflateName || !cfg.Enabled {
		return nil, fmt.Errorf("the server chose extensions that were not offered: %s", h.Get("Sec-Websocket-Extensions"))
	}
	o, ok := parseDeflate(list[0][1:], true)
	o.serverBits, o.clientBits = orMax(o.serverBits), orMax(o.clientBits)
	if !ok || o.serverBits > cfg.WindowBits || (!cfg.ContextTakeover && !o.serverNoTakeover) {
		return nil, fmt.Errorf("the server's parameters are not those offered: %s", h.Get("Sec-Websocket-Extensions"))
	}
	return &deflate{
		bitsOut: min(o.clientBits, cfg.WindowBits), bitsIn: o.serverBits,
		keepOut: cfg.ContextTakeover && !o.clientNoTakeover, keepIn: !o.serverNoTakeover,
	}, nil
}

// String is the extension with its parameters, without those at their defaults
// that need not be there.
func (o deflateOffer) String() string {
	s := deflateName
	if o.serverNoTakeover {
		s += "; server_no_context_takeover"
	}
	if o.clientNoTakeover {
		s += "; client_no_context_takeover"
	}
	if o.serverBits < maxWindowBits || o.serverBitsGiven {
		s += "; server_max_window_bits=" + strconv.Itoa(o.serverBits)
	}
	if o.clientBitsAllowed && o.clientBits < maxWindowBits {
		s += "; client_max_window_bits=" + strconv.Itoa(o.clientBits)
	}
	return s
}

// orMax is the size of a window for which none was given.
func orMax(bits int) int {
	if bits == 0 {
		return maxWindowBits
	}
	return bits
}
