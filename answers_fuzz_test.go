// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// FuzzTLSRecords: crypto/tls gets all bytes in order, whole records as soon as
// they are there, and no more than a part of one is kept back.
func FuzzTLSRecords(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x00\x05hello\x17\x03\x03\x00\x01x"), uint8(1), uint8(3))
	f.Add([]byte("\x17\x03\x03\x40\x00"+strings.Repeat("x", 1<<14)), uint8(200), uint8(100))
	f.Add([]byte("\x15\x03\x03\x00\x02"), uint8(2), uint8(1)) // cut
	f.Add([]byte("GET / HTTP/1.1\r\n"), uint8(4), uint8(9))   // none
	f.Add([]byte("\x16\x03\x03\xff\xff"), uint8(0), uint8(0)) // too long
	f.Fuzz(func(t *testing.T, data []byte, step, room uint8) {
		const longest = 5 + 1<<14 + 2<<10
		s := new(tlsShim)
		defer s.in.release()
		var got []byte
		take := func() error {
			p := make([]byte, int(room)+1)
			for {
				n, err := s.Read(p)
				got = append(got, p[:n]...)
				if err != nil {
					return err
				}
				if n == 0 {
					t.Fatal("Read returns nothing")
				}
			}
		}
		for rest := data; len(rest) > 0; {
			n := min(int(step)+1, len(rest))
			s.in.add(rest[:n])
			rest = rest[n:]
			if err := take(); err != errAgain || !s.empty() || s.in.len() >= longest {
				t.Fatalf("%v, %d bytes are kept back", err, s.in.len())
			}
		}
		if !bytes.HasPrefix(data, got) {
			t.Fatalf("%q of %q", got, data)
		}
		s.err = io.EOF
		if err := take(); !errors.Is(err, io.EOF) || !bytes.Equal(got, data) {
			t.Fatalf("%q of %q, then %v", got, data, err)
		}
	})
}

// FuzzUpgradeAnswer: a client takes an answer only if the server agrees to what
// was offered.
func FuzzUpgradeAnswer(f *testing.F) {
	const accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + "\r\n"
	f.Add(head + "\r\n")
	f.Add(head + "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n\r\n")
	f.Add(head + "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover, x\r\n\r\n")
	f.Add("HTTP/1.1 302 Found\r\nLocation: ws://other/\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
	f.Fuzz(func(t *testing.T, answer string) {
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), &http.Request{Method: http.MethodGet})
		if err != nil {
			return
		}
		_ = resp.Body.Close()
		w := fuzzedSocket(true, false, 1000)
		cfg := &w.c.ep.cfg.WebSocket
		cfg.Subprotocols = []string{"chat"}
		cfg.Deflate = Deflate{Enabled: true, WindowBits: 12}
		if w.check(resp, accept) != nil {
			return
		}
		if resp.StatusCode != http.StatusSwitchingProtocols || (w.protocol != "" && w.protocol != "chat") {
			t.Fatalf("taken: %q", answer)
		}
		if d := w.deflate; d != nil && (d.bitsOut < 8 || d.bitsOut > 12 || d.bitsIn < 8 || d.bitsIn > 15) {
			t.Fatalf("windows of %d and %d bits", d.bitsOut, d.bitsIn)
		}
	})
}

// answering is a conn that answers whatever is written to it.
type answering struct {
	net.Conn
	answer io.Reader
}

func (answering) Write(p []byte) (int, error)  { return len(p), nil }
func (a answering) Read(p []byte) (int, error) { return a.answer.Read(p) }
func (answering) Close() error                 { return nil }

// connected is a status line that a proxy answers with when it has connected (RFC 9110, section 9.3.6: any 2xx).
var connected = regexp.MustCompile(`(^|\n)HTTP/\d\.\d +2\d\d( |\r?\n)`)

// FuzzTunnelAnswer: a proxy has connected only if it says so and nothing else.
func FuzzTunnelAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\n\r\nmore")
	f.Add("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!")
	f.Add("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 300))
	f.Add("HTTP/1.0 200\r\n\r\n")
	f.Add("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 250 OK\r\n\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		ep := new(endpoint)
		if err := ep.init(Config{WebSocket: WebSocketConfig{MaxHeaderBytes: 256}}, "Config"); err != nil {
			t.Fatal(err)
		}
		d := &dialer{ep: ep, target: target{address: "service:1"}}
		left := strings.NewReader(answer)
		err := d.tunnel(t.Context(), answering{answer: left}, &url.URL{Scheme: "http", Host: "proxy:1"})
		if taken := len(answer) - left.Len(); taken > 256 {
			t.Fatalf("%d bytes were read", taken)
		}
		if err == nil && (!connected.MatchString(answer) || left.Len() > 0) {
			t.Fatalf("%q is taken for a tunnel", answer)
		}
	})
}
