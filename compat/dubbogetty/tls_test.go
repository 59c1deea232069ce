// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/dubbo-getty"
	"github.com/apache/dubbo-getty/dropin"
)

// builder is a TlsConfigBuilder of a function.
type builder func() (*tls.Config, error)

func (b builder) BuildTlsConfig() (*tls.Config, error) { return b() }

// fails opens a client in the background, whose attempts must all fail.
func fails(t *testing.T, c getty.Client, r *recorder) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); c.RunEventLoop(with(r)) }()
	wantNone(t, r.opened, "session")
	c.Close()
	receive(t, done, "return")
}

// TestD44ClientVerifies: a server whose certificate is signed by somebody else,
// or is for another host, is refused. The original took any.
func TestD44ClientVerifies(t *testing.T) {
	_, addr := serve(t, transports[1], with(record()))
	_, port, err := net.SplitHostPort(addr)
	must(t, err)
	p := files(t)
	stranger := filepath.Join(t.TempDir(), "ca.pem")
	ca, _, _ := makePKI(t)
	must(t, os.WriteFile(stranger, ca, 0o600))
	for name, c := range map[string]struct{ addr, ca string }{
		"signed by a stranger": {addr, stranger},
		"for another host":     {"localhost:" + port, p.ca},
	} {
		t.Run(name, func(t *testing.T) {
			fails(t, getty.NewTCPClient(getty.WithConnectionNumber(1), getty.WithServerAddress(c.addr), getty.WithClientSslEnabled(true),
				getty.WithClientTlsConfigBuilder(&getty.ClientTlsConfigBuilder{
					ClientKeyCertChainPath: p.cert, ClientPrivateKeyPath: p.key, ClientTrustCertCollectionPath: c.ca,
				})), record())
		})
	}
	_, wss := serve(t, transports[3], with(record()))
	fails(t, getty.NewWSSClient(getty.WithConnectionNumber(1), getty.WithServerAddress("wss://"+wss+"/echo"),
		getty.WithRootCertificateFile(stranger)), record())
}

// TestAnyServerName: who chooses it connects to a server whose certificate is for
// another host, and not to one whose certificate a stranger has signed.
func TestAnyServerName(t *testing.T) {
	dropin.SetAnyServerName(true)
	t.Cleanup(func() { dropin.SetAnyServerName(false) })
	p := files(t)
	stranger := filepath.Join(t.TempDir(), "ca.pem")
	ca, _, _ := makePKI(t)
	must(t, os.WriteFile(stranger, ca, 0o600))
	for i, connect := range map[int]func(port, ca string) getty.Client{
		1: func(port, ca string) getty.Client {
			return getty.NewTCPClient(getty.WithConnectionNumber(1), getty.WithServerAddress("localhost:"+port), getty.WithClientSslEnabled(true),
				getty.WithClientTlsConfigBuilder(&getty.ClientTlsConfigBuilder{
					ClientKeyCertChainPath: p.cert, ClientPrivateKeyPath: p.key, ClientTrustCertCollectionPath: ca,
				}))
		},
		3: func(port, ca string) getty.Client {
			return getty.NewWSSClient(getty.WithConnectionNumber(1), getty.WithServerAddress("wss://localhost:"+port+"/echo"),
				getty.WithRootCertificateFile(ca))
		},
	} {
		t.Run(transports[i].name, func(t *testing.T) {
			_, addr := serve(t, transports[i], with(record()))
			_, port, err := net.SplitHostPort(addr)
			must(t, err)
			r := record()
			c := connect(port, p.ca)
			defer c.Close()
			go c.RunEventLoop(with(r))
			receive(t, r.opened, "session")
			fails(t, connect(port, stranger), record())
		})
	}
}

// TestD44ServerVerifies the certificates of clients, if it knows who signs them.
func TestD44ServerVerifies(t *testing.T) {
	p, q := files(t), pki{}
	dir := t.TempDir()
	ca, cert, key := makePKI(t)
	q.ca, q.cert, q.key = filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	must(t, os.WriteFile(q.ca, ca, 0o600))
	must(t, os.WriteFile(q.cert, cert, 0o600))
	must(t, os.WriteFile(q.key, key, 0o600))
	for name, c := range map[string]struct {
		trust   string
		present pki
		ok      bool
	}{
		"a stranger's":          {p.ca, q, false},
		"none":                  {p.ca, pki{}, false},
		"a known one":           {p.ca, p, true},
		"any, without a trust":  {"", q, true},
		"none, without a trust": {"", pki{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := record()
			s := getty.NewTCPServer(getty.WithLocalAddress("127.0.0.1:0"), getty.WithServerSslEnabled(true),
				getty.WithServerTlsConfigBuilder(&getty.ServerTlsConfigBuilder{
					ServerKeyCertChainPath: p.cert, ServerPrivateKeyPath: p.key, ServerTrustCertCollectionPath: c.trust,
				}))
			s.RunEventLoop(with(r))
			defer s.Close()
			cl := getty.NewTCPClient(getty.WithConnectionNumber(1), getty.WithClientSslEnabled(true),
				getty.WithServerAddress(s.(getty.StreamServer).Listener().Addr().String()),
				getty.WithClientTlsConfigBuilder(&getty.ClientTlsConfigBuilder{
					ClientKeyCertChainPath: c.present.cert, ClientPrivateKeyPath: c.present.key, ClientTrustCertCollectionPath: p.ca,
				}))
			defer cl.Close()
			go cl.RunEventLoop(with(record()))
			if c.ok {
				receive(t, r.opened, "session")
			} else {
				wantNone(t, r.opened, "session")
			}
		})
	}
}

// TestD45TLSErrors: what a builder cannot build is a panic of RunEventLoop with
// the reason, not a nil dereference, and never a connection in the clear.
func TestD45TLSErrors(t *testing.T) {
	p := files(t)
	empty := filepath.Join(t.TempDir(), "empty")
	must(t, os.WriteFile(empty, nil, 0o600))
	for text, b := range map[string]getty.TlsConfigBuilder{
		"test":                       builder(func() (*tls.Config, error) { return nil, errTest }),
		"neither a configuration":    builder(func() (*tls.Config, error) { return nil, nil }),
		"without a TlsConfigBuilder": nil,
		"server certificate":         &getty.ServerTlsConfigBuilder{},
		"trusted certificates": &getty.ServerTlsConfigBuilder{
			ServerKeyCertChainPath: p.cert, ServerPrivateKeyPath: p.key, ServerTrustCertCollectionPath: empty,
		},
		"client certificate": &getty.ClientTlsConfigBuilder{ClientKeyCertChainPath: p.cert},
		"no such file":       &getty.ClientTlsConfigBuilder{ClientTrustCertCollectionPath: empty + "r"},
	} {
		t.Run(text, func(t *testing.T) {
			wantPanic(t, text, func() {
				getty.NewTCPServer(getty.WithServerSslEnabled(true), getty.WithServerTlsConfigBuilder(b)).RunEventLoop(with(record()))
			})
			wantPanic(t, text, func() {
				getty.NewTCPClient(getty.WithServerAddress("127.0.0.1:1"), getty.WithConnectionNumber(1), getty.WithClientSslEnabled(true),
					getty.WithClientTlsConfigBuilder(b)).RunEventLoop(with(record()))
			})
		})
	}
	wantPanic(t, "has none", func() {
		getty.NewWSSClient(getty.WithConnectionNumber(1), getty.WithServerAddress("wss://127.0.0.1:1"),
			getty.WithRootCertificateFile(empty)).RunEventLoop(with(record()))
	})
}

// TestBuilderIsAskedOnce by each RunEventLoop that starts an endpoint, however
// often it connects.
func TestBuilderIsAskedOnce(t *testing.T) {
	p := files(t)
	var calls atomic.Int32
	counting := func(b getty.TlsConfigBuilder) getty.TlsConfigBuilder {
		return builder(func() (*tls.Config, error) { calls.Add(1); return b.BuildTlsConfig() })
	}
	s := getty.NewTCPServer(getty.WithLocalAddress("127.0.0.1:0"), getty.WithServerSslEnabled(true),
		getty.WithServerTlsConfigBuilder(counting(&getty.ServerTlsConfigBuilder{ServerKeyCertChainPath: p.cert, ServerPrivateKeyPath: p.key})))
	s.RunEventLoop(with(record()))
	defer s.Close()
	c := getty.NewTCPClient(getty.WithConnectionNumber(2), getty.WithClientSslEnabled(true), fast,
		getty.WithServerAddress(s.(getty.StreamServer).Listener().Addr().String()),
		getty.WithClientTlsConfigBuilder(counting(&getty.ClientTlsConfigBuilder{
			ClientKeyCertChainPath: p.cert, ClientPrivateKeyPath: p.key, ClientTrustCertCollectionPath: p.ca,
		})))
	defer c.Close()
	r := record()
	c.RunEventLoop(with(r))
	receive(t, r.opened, "session").Close()
	for range 2 {
		receive(t, r.opened, "session")
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("the two builders were asked %d times", n)
	}
}

// TestBuildersWithoutClientCertificate: the original failed on it.
func TestBuildersWithoutClientCertificate(t *testing.T) {
	cfg, err := (&getty.ClientTlsConfigBuilder{}).BuildTlsConfig()
	if err != nil || cfg.InsecureSkipVerify || len(cfg.Certificates) > 0 {
		t.Errorf("%+v, %v", cfg, err)
	}
}

// TestD35Origins: browsers come from the server's own origin unless the program
// says otherwise.
func TestD35Origins(t *testing.T) {
	t.Cleanup(func() { dropin.AllowOrigins() })
	_, addr := serve(t, transports[2], with(record()))
	ask := func(origin string) int {
		t.Helper()
		nc, err := net.Dial("tcp", addr)
		must(t, err)
		defer nc.Close()
		must(t, nc.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(nc, "GET /echo HTTP/1.1\r\nHost: "+addr+"\r\nOrigin: "+origin+"\r\nUpgrade: websocket\r\n"+
			"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
		must(t, err)
		line := make([]byte, 12)
		_, err = io.ReadFull(nc, line)
		must(t, err)
		if strings.HasSuffix(string(line), "101") {
			return http.StatusSwitchingProtocols
		}
		return http.StatusForbidden
	}
	for _, c := range []struct {
		allowed []string
		origin  string
		want    int
	}{
		{nil, "http://" + addr, http.StatusSwitchingProtocols},
		{nil, "https://example.com", http.StatusForbidden},
		{[]string{"https://example.com/"}, "https://Example.com", http.StatusSwitchingProtocols},
		{[]string{"https://example.com"}, "https://example.org", http.StatusForbidden},
		{[]string{"*"}, "null", http.StatusSwitchingProtocols},
	} {
		dropin.AllowOrigins(c.allowed...)
		if got := ask(c.origin); got != c.want {
			t.Errorf("with %q the origin %q gets %d", c.allowed, c.origin, got)
		}
	}
}
