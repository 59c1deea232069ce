// SPDX-License-Identifier: Apache-2.0

package proxyproto_test

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/proxyproto"
	pires "github.com/pires/go-proxyproto"
)

func TestHeadersOfBothVersions(t *testing.T) {
	for name, tc := range map[string]struct {
		version  byte
		from, to string
	}{
		"v1 IPv4": {1, "192.0.2.7:4711", "198.51.100.1:443"},
		"v1 IPv6": {1, "[2001:db8::7]:4711", "[2001:db8::1]:443"},
		"v2 IPv4": {2, "192.0.2.7:4711", "198.51.100.1:443"},
		"v2 IPv6": {2, "[2001:db8::7]:4711", "[2001:db8::1]:443"},
	} {
		for _, bytewise := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s := serve(t, getty.Config{}, plain)
				nc := s.dial(t)
				p := append(header(t, tc.version, tc.from, tc.to), "hello\n"...)
				if bytewise {
					for _, b := range p {
						_, err := nc.Write([]byte{b})
						must(t, err)
					}
				} else { // what comes with the header is not lost
					_, err := nc.Write(p)
					must(t, err)
				}
				echoes(t, nc, "hello")
				o := receive(t, s.opened, "session")
				if o.remote != tc.from || o.local != tc.to || !o.raw {
					t.Errorf("the session is %+v, want from %s to %s, on the socket itself", o, tc.from, tc.to)
				}
				if st := s.Stats(); st.BytesIn != 6 {
					t.Errorf("%d bytes are counted, want those of the message", st.BytesIn)
				}
			})
		}
	}
}

// Only who is trusted may say where it comes from, and must.
func TestTrust(t *testing.T) {
	s := serve(t, getty.Config{}, plain, "203.0.113.0/24")
	nc := s.dial(t)
	_, err := nc.Write(append(header(t, 1, "192.0.2.7:4711", "198.51.100.1:443"), "hello\n"...))
	must(t, err)
	line, err := bufio.NewReader(nc).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "PROXY TCP4") {
		t.Errorf("%q came back, error %v: a forged header is data", line, err)
	}
	if o := receive(t, s.opened, "session"); o.remote != nc.LocalAddr().String() {
		t.Errorf("the session comes from %s", o.remote)
	}

	s = serve(t, getty.Config{}, plain, "::ffff:127.0.0.0/104") // IPv4, as an AccessList has it
	nc = s.dial(t)
	_, err = nc.Write([]byte("hello\n"))
	must(t, err)
	if err := receive(t, s.failed, "failure"); !errors.Is(err, proxyproto.ErrNoHeader) {
		t.Errorf("it failed with %v", err)
	}
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
	if st := s.Stats(); st.Failed != 1 || st.Opening != 0 {
		t.Errorf("the statistics are %+v", st)
	}
}

// LOCAL is the load balancer itself, asking after the server's health.
func TestLocalCommand(t *testing.T) {
	s := serve(t, getty.Config{}, plain)
	nc := s.dial(t)
	p, err := (&pires.Header{Version: 2, Command: pires.LOCAL, TransportProtocol: pires.UNSPEC}).Format()
	must(t, err)
	_, err = nc.Write(append(p, "hello\n"...))
	must(t, err)
	echoes(t, nc, "hello")
	if o := receive(t, s.opened, "session"); o.remote != nc.LocalAddr().String() {
		t.Errorf("the session comes from %s", o.remote)
	}
}

// A header that does not come holds nobody up, and not for ever.
func TestASlowHeader(t *testing.T) {
	const timeout = 500 * time.Millisecond
	v1, v2 := header(t, 1, "192.0.2.7:4711", "198.51.100.1:443"), header(t, 2, "192.0.2.7:4711", "198.51.100.1:443")
	for name, half := range map[string][]byte{
		"nothing":           nil,
		"v1 name":           v1[:6],
		"v1 without its CR": v1[:len(v1)-2],
		"v1 without its LF": v1[:len(v1)-1],
		"v2 signature":      v2[:12],
		"v2 length":         v2[:16],
		"v2 addresses":      v2[:len(v2)-1],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, getty.Config{HandshakeTimeout: timeout}, plain)
			begun := time.Now()
			slow, fast := s.dial(t), s.dial(t)
			_, err := slow.Write(half)
			must(t, err)
			_, err = fast.Write(append(bytes.Clone(v1), "hello\n"...))
			must(t, err)
			echoes(t, fast, "hello")
			err, lasted := receive(t, s.failed, "failure"), time.Since(begun)
			if !errors.Is(err, getty.ErrHandshakeTimeout) || lasted < timeout {
				t.Errorf("it failed after %v with %v", lasted, err)
			}
			if _, err := slow.Read(make([]byte, 1)); err == nil {
				t.Error("the connection is open")
			}
			if st := s.Stats(); st.Opening != 0 || st.Refusals["handshake timeout"] != 1 {
				t.Errorf("%d are opening, refused are %v", st.Opening, st.Refusals)
			}
		})
	}
}

func TestMalformedHeaders(t *testing.T) {
	for name, p := range map[string]string{
		"v1":      "PROXY TCP4 nobody 198.51.100.1 1 2\r\n",
		"v1 long": "PROXY TCP4 " + strings.Repeat("1", 500),
		"v2":      "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x01x",
		"v2 half": "\r\n\r\n\x00\r\nQUIT\n\x2f\xff",
		"cut":     "PRO",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, getty.Config{}, plain)
			nc := s.dial(t)
			_, err := nc.Write([]byte(p))
			must(t, err)
			must(t, nc.(*net.TCPConn).CloseWrite())
			if err := receive(t, s.failed, "failure"); err == nil || errors.Is(err, getty.ErrHandshakeTimeout) {
				t.Errorf("it failed with %v", err)
			}
		})
	}
}

// Limits by address go by the client's.
func TestGuardGoesByTheClient(t *testing.T) {
	list := getty.NewAccessList(nil, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
	s := serve(t, getty.Config{MaxSessionsPerAddr: 1, Guard: getty.Guard{Access: list}}, plain)
	for _, tc := range []struct {
		from string
		want error
	}{
		{"198.51.100.1:1", nil},
		{"198.51.100.2:1", nil},
		{"198.51.100.1:2", getty.ErrTooManySessions},
		{"192.0.2.1:1", getty.ErrDenied},
		{"", nil}, // a unix socket's: it goes by the conn
		{"", getty.ErrTooManySessions},
	} {
		nc := s.dial(t)
		p := unixHeader(t)
		if tc.from != "" {
			p = header(t, 2, tc.from, "198.51.100.9:443")
		}
		_, err := nc.Write(p)
		must(t, err)
		if tc.want == nil {
			receive(t, s.opened, "session")
		} else if err := receive(t, s.failed, "refusal"); !errors.Is(err, tc.want) {
			t.Errorf("%s: refused with %v, want %v", tc.from, err, tc.want)
		}
	}
}

func unixHeader(t *testing.T) []byte {
	t.Helper()
	a := &net.UnixAddr{Net: "unix", Name: "/tmp/x"}
	p, err := pires.HeaderProxyFromAddrs(2, a, a).Format()
	must(t, err)
	return p
}
