// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// limit bounds every wait in the tests: it is reached only by a failure.
const limit = 20 * time.Second

// transport is one row of the table that guarantees are tested over.
type transport struct {
	name string
	url  func(t testing.TB) string
}

var transports = []transport{
	{"tcp", func(testing.TB) string { return "tcp://127.0.0.1:0" }},
	{"tls", func(testing.TB) string { return "tls://127.0.0.1:0" }},
	{"unix", func(t testing.TB) string { return "unix://" + filepath.Join(t.TempDir(), "s") }},
	{"ws", func(testing.TB) string { return "ws://127.0.0.1:0/lines" }},
	{"wss", func(testing.TB) string { return "wss://127.0.0.1:0" }},
}

// eachTransport runs a test over every transport; those of onUDP over UDP, too.
func eachTransport(t *testing.T, test func(t *testing.T, tr transport)) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) { test(t, tr) })
	}
	if onUDP[strings.Split(t.Name(), "/")[0]] {
		t.Run(udpTransport.name, func(t *testing.T) { test(t, udpTransport) })
	}
}

// eachStream is eachTransport for what concerns streams of bytes only.
func eachStream(t *testing.T, test func(t *testing.T, tr transport)) {
	eachTransport(t, func(t *testing.T, tr transport) {
		if !isWebSocket(tr) {
			test(t, tr)
		}
	})
}

// certificate is made once and trusted by clientTLS.
var certificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "getty test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
})

func serverTLS() *tls.Config {
	cert, _ := certificate()
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

func clientTLS() *tls.Config {
	_, pool := certificate()
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// The message type of most tests is string, by lines.
type (
	session = getty.Session[string]
	funcs   = getty.EventFuncs[string]
	setup   = getty.Setup[string]
)

// serve starts a server on tr and shuts it down at the end of the test. init,
// if not nil, runs before it listens.
func serve(t testing.TB, tr transport, events getty.EventListener[string], cfg getty.Config, init func(*getty.Server[string])) (*getty.Server[string], string) {
	t.Helper()
	if cfg.TLS == nil {
		cfg.TLS = serverTLS()
	}
	srv, err := getty.NewServer(codec.Line{}, events, cfg)
	must(t, err)
	if init != nil {
		init(srv)
	}
	must(t, srv.Listen(tr.url(t)))
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	return srv, srv.URLs()[0]
}

// dial opens one session and closes it at the end of the test.
func dial(t testing.TB, url string, events getty.EventListener[string], cfg getty.Config) *session {
	t.Helper()
	if cfg.TLS == nil {
		cfg.TLS = clientTLS()
	}
	s, err := getty.Dial(within(t), url, codec.Line{}, events, cfg)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// pooled makes a client that is shut down at the end of the test.
func pooled(t testing.TB, url string, events getty.EventListener[string], cfg getty.ClientConfig) *getty.Client[string] {
	t.Helper()
	if cfg.TLS == nil {
		cfg.TLS = clientTLS()
	}
	c, err := getty.NewClient(url, codec.Line{}, events, cfg)
	must(t, err)
	t.Cleanup(func() { must(t, c.Shutdown(within(t))) })
	return c
}

// splitURL gives scheme, address and what is behind it.
func splitURL(url string) (kind, addr, path string) {
	kind, addr, _ = strings.Cut(url, "://")
	if kind == "ws" || kind == "wss" {
		addr, path, _ = strings.Cut(addr, "/")
		if path != "" {
			path = "/" + path
		}
	}
	return kind, addr, path
}

// peer is the other end as raw bytes, without getty.
func peer(t testing.TB, url string) net.Conn { return peerOffering(t, url, "") }

// peerOffering is peer whose opening handshake offers extensions of WebSocket.
func peerOffering(t testing.TB, url, extensions string) net.Conn {
	t.Helper()
	kind, addr, path := splitURL(url)
	nc, err := net.Dial(networkOf(kind), addr)
	must(t, err)
	must(t, nc.SetDeadline(time.Now().Add(limit)))
	nc = rawEnd(nc, kind, true, path)
	if w, ok := nc.(*wsRaw); ok {
		w.extensions = extensions
	}
	t.Cleanup(func() { _ = nc.Close() })
	if h, ok := nc.(interface{ Handshake() error }); ok {
		must(t, h.Handshake())
	}
	return nc
}

// listenRaw is the other end of a client as raw connections.
func listenRaw(t testing.TB, tr transport) (url string, accept func() net.Conn) {
	t.Helper()
	kind, addr, path := splitURL(tr.url(t))
	l, err := net.Listen(networkOf(kind), addr)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return kind + "://" + l.Addr().String() + path, func() net.Conn {
		nc, err := l.Accept()
		must(t, err)
		t.Cleanup(func() { _ = nc.Close() })
		must(t, nc.SetDeadline(time.Now().Add(limit)))
		return rawEnd(nc, kind, false, "")
	}
}

// within is a context that ends with the test's patience.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// goroutines counts those whose state or stack has part in it.
func goroutines(part string) int {
	buf := make([]byte, 1<<20)
	n := 0
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, part) {
			n++
		}
	}
	return n
}

// receive takes one value or fails the test.
func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v, ok := <-ch:
		if !ok {
			t.Fatalf("%s: channel is closed", what)
		}
		return v
	case <-time.After(limit):
		t.Fatalf("no %s within %v", what, limit)
		panic("unreachable")
	}
}

// ended waits for a channel that is closed, not sent on.
func ended(t testing.TB, ch <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(limit):
		t.Fatalf("no %s within %v", what, limit)
	}
}

// recorder is a listener that keeps what happens, in channels with room for
// what a test makes happen. Its hooks run inside the callbacks.
type recorder struct {
	opened   chan *session
	messages chan string
	crons    chan *session
	closed   chan error

	onOpen    func(*session) error
	onMessage func(*session, string) error
	onClose   func(*session, error)
}

func record() *recorder {
	return &recorder{
		opened: make(chan *session, 1024), messages: make(chan string, 1<<16),
		crons: make(chan *session, 1024), closed: make(chan error, 1024),
	}
}

func (r *recorder) OnOpen(s *session) error {
	r.opened <- s
	if r.onOpen != nil {
		return r.onOpen(s)
	}
	return nil
}

func (r *recorder) OnMessage(s *session, m string) error {
	r.messages <- m
	if r.onMessage != nil {
		return r.onMessage(s, m)
	}
	return nil
}

func (r *recorder) OnCron(s *session) { r.crons <- s }

func (r *recorder) OnClose(s *session, cause error) {
	if r.onClose != nil {
		r.onClose(s, cause)
	}
	r.closed <- cause
}

// echo answers each line with itself.
var echo = funcs{Message: func(s *session, m string) error { return s.Send(m) }}
