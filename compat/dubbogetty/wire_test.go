// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	engine "github.com/getty-net/getty"
	"github.com/klauspost/compress/snappy"

	"github.com/apache/dubbo-getty"
)

// TestWireOfSnappy is snappy's framing format, flushed after each write.
func TestWireOfSnappy(t *testing.T) {
	_, addr := serve(t, transports[0], with(echo(), func(s getty.Session) { s.SetCompressType(getty.CompressSnappy) }))
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	defer nc.Close()
	must(t, nc.SetDeadline(time.Now().Add(patience)))
	w := snappy.NewBufferedWriter(nc)
	defer w.Close()
	wantEchoes(t, "snappy", w, snappy.NewReader(nc))
}

// upgraded is a raw WebSocket peer. Under TLS it shows a certificate if it has one.
func upgraded(t *testing.T, addr string, cfg *tls.Config) (net.Conn, *bufio.Reader, error) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { nc.Close() })
	must(t, nc.SetDeadline(time.Now().Add(patience)))
	if cfg != nil {
		nc = tls.Client(nc, cfg)
	}
	_, err = io.WriteString(nc, "GET /echo HTTP/1.1\r\nHost: "+addr+"\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	rd := bufio.NewReader(nc)
	if err != nil {
		return nc, rd, err
	}
	resp, err := http.ReadResponse(rd, nil)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("the answer is %s", resp.Status)
	}
	return nc, rd, err
}

// TestCloseFrames: Close sends code 1000 and no reason; after an error the code
// says of which kind it is. OnError has the peer's as a *CloseError of the engine.
func TestCloseFrames(t *testing.T) {
	mask := "\x00\x00\x00\x00"
	for name, c := range map[string]struct {
		frame string // of the peer; empty: Close here
		code  uint16
	}{
		"Close":        {"", 1000},
		"protocol":     {"\x81\x01x", 1002}, // without a mask
		"not UTF-8":    {"\x81\x81" + mask + "\xff", 1007},
		"too long":     {"\x82\xff" + "\x00\x00\x00\x00\x00\x20\x00\x00" + mask, 1009},
		"peer's close": {"\x88\x82" + mask + "\x0f\xa1", 4001},
	} {
		t.Run(name, func(t *testing.T) {
			r := record()
			_, addr := serve(t, transports[2], with(r))
			nc, rd, err := upgraded(t, addr, nil)
			must(t, err)
			s := receive(t, r.opened, "session")
			if c.frame == "" {
				s.Close()
			} else {
				_, err := io.WriteString(nc, c.frame)
				must(t, err)
			}
			head := make([]byte, 4)
			_, err = io.ReadFull(rd, head)
			must(t, err)
			if code := binary.BigEndian.Uint16(head[2:]); head[0] != 0x88 || code != c.code {
				t.Errorf("the frame begins with %x, code %d, want %d", head[0], code, c.code)
			}
			if c.frame == "" && head[1] != 2 {
				t.Errorf("the close frame has %d bytes: there is a reason", head[1])
			}
			if c.code == 4001 {
				var ce *engine.CloseError
				if err := receive(t, r.errs, "OnError"); !errors.As(err, &ce) || ce.Code != 4001 {
					t.Errorf("OnError has %v", err)
				}
			}
			nc.Close()
			receive(t, r.closed, "OnClose")
		})
	}
}

// TestWSSVerifiesClients, if it was given whose certificates it trusts.
func TestWSSVerifiesClients(t *testing.T) {
	p := files(t)
	r := record()
	s := getty.NewWSSServer(getty.WithLocalAddress("127.0.0.1:0"), getty.WithWebsocketServerPath("/echo"),
		getty.WithWebsocketServerCert(p.cert), getty.WithWebsocketServerPrivateKey(p.key), getty.WithWebsocketServerRootCert(p.ca))
	s.RunEventLoop(with(r))
	t.Cleanup(s.Close)
	addr := s.(getty.StreamServer).Listener().Addr().String()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pkiPEM.ca)
	_, strange, strangeKey := makePKI(t)
	for name, c := range map[string]struct {
		cert, key []byte
		ok        bool
	}{"none": {nil, nil, false}, "a stranger's": {strange, strangeKey, false}, "a known one": {pkiPEM.cert, pkiPEM.key, true}} {
		t.Run(name, func(t *testing.T) {
			cfg := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: "127.0.0.1"}
			if c.cert != nil {
				cert, err := tls.X509KeyPair(c.cert, c.key)
				must(t, err)
				// Whether the server has asked for its authority or not.
				cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			}
			if _, _, err := upgraded(t, addr, cfg); (err == nil) != c.ok {
				t.Errorf("it is let in: %v", err)
			}
			if c.ok {
				receive(t, r.opened, "session")
			} else {
				wantNone(t, r.opened, "session")
			}
		})
	}
	empty := p.ca + ".empty"
	must(t, os.WriteFile(empty, nil, 0o600))
	for text, ca := range map[string]string{"has none": empty, "no such file": empty + "r"} {
		wantPanic(t, text, func() {
			getty.NewWSSServer(getty.WithLocalAddress("127.0.0.1:0"), getty.WithWebsocketServerCert(p.cert),
				getty.WithWebsocketServerPrivateKey(p.key), getty.WithWebsocketServerRootCert(ca)).RunEventLoop(with(record()))
		})
	}
	wantPanic(t, "no such file", func() {
		getty.NewWSSClient(getty.WithConnectionNumber(1), getty.WithServerAddress("wss://127.0.0.1:1"),
			getty.WithRootCertificateFile(empty+"r")).RunEventLoop(with(record()))
	})
}

// TestPathsUnderTLS are those of http.ServeMux as well.
func TestPathsUnderTLS(t *testing.T) {
	p := files(t)
	s := getty.NewWSSServer(getty.WithLocalAddress("127.0.0.1:0"), getty.WithWebsocketServerPath("GET /rooms/{id}"),
		getty.WithWebsocketServerCert(p.cert), getty.WithWebsocketServerPrivateKey(p.key))
	s.RunEventLoop(with(echo()))
	t.Cleanup(s.Close)
	addr := s.(getty.StreamServer).Listener().Addr().String()
	client := func(path string) getty.Client {
		return getty.NewWSSClient(getty.WithConnectionNumber(1), getty.WithServerAddress("wss://"+addr+path), getty.WithRootCertificateFile(p.ca))
	}
	r := record()
	c := client("/rooms/1")
	defer c.Close()
	c.RunEventLoop(with(r))
	_, _, err := receive(t, r.opened, "session").WritePkg("x", 0)
	must(t, err)
	if got := receive(t, r.messages, "echo"); got != "x" {
		t.Errorf("the echo is %v", got)
	}
	fails(t, client("/others/1"), record())
}

// TestWebSocketCompressionOfTheServer: it uses what was agreed on if it has called
// SetCompressType, although the client has not.
func TestWebSocketCompressionOfTheServer(t *testing.T) {
	for _, on := range []bool{true, false} {
		r := record()
		_, addr := serve(t, transports[2], with(r, func(s getty.Session) {
			if on {
				s.SetCompressType(getty.CompressZip)
			}
		}))
		via, _, count := tap(t, addr)
		peer := record()
		connect(t, transports[2], via, 1, with(peer, func(s getty.Session) { s.SetAttribute("ignore-reconnect", true) }))
		text := strings.Repeat("x", 100_000)
		_, _, err := receive(t, r.opened, "session").WritePkg(text, 0)
		must(t, err)
		if got := receive(t, peer.messages, "message"); got != text {
			t.Errorf("the message is another one")
		}
		if n := count.Load(); (n < 10_000) != on {
			t.Errorf("%d bytes on the wire", n)
		}
	}
}
