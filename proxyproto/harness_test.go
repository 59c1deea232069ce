// SPDX-License-Identifier: Apache-2.0

package proxyproto_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/proxyproto"
	pires "github.com/pires/go-proxyproto"
)

const limit = 20 * time.Second

// opened is what a server sees of a session that opens.
type opened struct {
	remote, local string
	raw           bool // it is on the socket itself
}

// server serves an echo of lines behind a listener that trusts loopback, or
// what is given, and tells of its sessions and failures.
type server struct {
	*getty.Server[string]
	addr   string
	opened chan opened
	failed chan error
}

func (s *server) SessionOpened(getty.SessionInfo)                            {}
func (s *server) SessionClosed(getty.SessionInfo, getty.SessionStats, error) {}
func (s *server) ConnFailed(_ string, _ net.Addr, err error)                 { s.failed <- err }

// serving is a way to serve a listener.
type serving func(*getty.Server[string], net.Listener) error

func serve(t *testing.T, cfg getty.Config, how serving, trusted ...string) *server {
	t.Helper()
	return serveCodec(t, codec.Line{}, cfg, how, trusted...)
}

func serveCodec(t *testing.T, c getty.Codec[string], cfg getty.Config, how serving, trusted ...string) *server {
	t.Helper()
	if trusted == nil {
		trusted = []string{"127.0.0.0/8"}
	}
	var prefixes []netip.Prefix
	for _, p := range trusted {
		prefixes = append(prefixes, netip.MustParsePrefix(p))
	}
	s := &server{opened: make(chan opened, 64), failed: make(chan error, 64)}
	cfg.Observer = s
	events := getty.EventFuncs[string]{
		Open: func(ss *getty.Session[string]) error {
			_, raw := ss.NetConn().(*net.TCPConn)
			s.opened <- opened{ss.RemoteAddr().String(), ss.LocalAddr().String(), raw}
			return nil
		},
		Message: func(ss *getty.Session[string], m string) error { return ss.Send(m) },
	}
	srv, err := getty.NewServer(c, events, cfg)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.Server, s.addr = srv, l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- how(srv, proxyproto.NewListener(l, prefixes...)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		must(t, srv.Shutdown(ctx))
		if err := <-served; !errors.Is(err, getty.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return s
}

func plain(s *getty.Server[string], l net.Listener) error { return s.Serve(l) }

func webSocket(s *getty.Server[string], l net.Listener) error { return s.ServeWebSocket(l, "") }

func webSocketTLS(s *getty.Server[string], l net.Listener) error { return s.ServeWebSocketTLS(l, "") }

func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	must(t, err)
	must(t, nc.SetDeadline(time.Now().Add(limit)))
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func receive[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(limit):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

func header(t *testing.T, version byte, from, to string) []byte {
	t.Helper()
	a, b := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(to))
	p, err := pires.HeaderProxyFromAddrs(version, a, b).Format()
	must(t, err)
	return p
}

func echoes(t *testing.T, rw io.ReadWriter, want string) {
	t.Helper()
	line, err := bufio.NewReader(rw).ReadString('\n')
	if err != nil || line != want+"\n" {
		t.Fatalf("%q came back, error %v", line, err)
	}
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
