// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// limit bounds every wait: it is reached only by a failure.
const limit = 60 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// receive waits for a value.
func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatalf("no %s, and none will come", what)
		}
		return v
	case <-time.After(limit):
		t.Fatalf("no %s", what)
	}
	panic("unreachable")
}

// certificate is for localhost and trusts itself. The files are for programs.
type certificate struct {
	tls             tls.Certificate
	pool            *x509.CertPool
	certPEM, keyPEM []byte
}

var localhost = sync.OnceValues(func() (c certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return c, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return c, err
	}
	c.certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c.keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	c.pool = x509.NewCertPool()
	c.pool.AppendCertsFromPEM(c.certPEM)
	c.tls, err = tls.X509KeyPair(c.certPEM, c.keyPEM)
	return c, err
})

func serverTLS(t testing.TB) *tls.Config {
	c, err := localhost()
	must(t, err)
	return &tls.Config{Certificates: []tls.Certificate{c.tls}, MinVersion: tls.VersionTLS12}
}

func clientTLS(t testing.TB) *tls.Config {
	c, err := localhost()
	must(t, err)
	return &tls.Config{RootCAs: c.pool, MinVersion: tls.VersionTLS12}
}

// certificateFiles writes the certificate and its key.
func certificateFiles(t testing.TB) (cert, key string) {
	c, err := localhost()
	must(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, errors.Join(os.WriteFile(cert, c.certPEM, 0o600), os.WriteFile(key, c.keyPEM, 0o600)))
	return cert, key
}

// setting is how a connection is made.
type setting struct {
	name              string
	tls               bool
	deflate, takeover bool
	mounted           bool // under net/http, beside others; only for getty as the server
	fragment          bool // the peer cuts its messages into pieces
	ping              bool // getty asks all the time whether the peer is alive
}

var settings = []setting{
	{name: "ws"},
	{name: "wss fragments", tls: true, fragment: true},
	{name: "deflate", deflate: true},
	{name: "takeover fragments", deflate: true, takeover: true, fragment: true},
	{name: "mounted", mounted: true},
	{name: "mounted wss takeover", mounted: true, tls: true, deflate: true, takeover: true},
}

// config is getty's for a setting.
func (o setting) config() getty.Config {
	cfg := getty.Config{
		HighWatermark: 4 << 20,
		WebSocket: getty.WebSocketConfig{
			MessageType: getty.MessageLast, Subprotocols: []string{"echo.v2", "echo.v1"},
			Deflate: getty.Deflate{Enabled: o.deflate, ContextTakeover: o.takeover},
		},
	}
	if o.ping {
		cfg.Keepalive = getty.Keepalive{Interval: 5 * time.Millisecond, Misses: 1000}
		cfg.CronPeriod = 5 * time.Millisecond
	}
	return cfg
}

// side is what getty sees of its connections.
type side struct {
	opened chan *getty.Session[[]byte]
	closed chan error
	ponged chan struct{} // more was received than the session was sent as messages
}

func newSide() *side {
	return &side{make(chan *getty.Session[[]byte], 100), make(chan error, 100), make(chan struct{}, 1)}
}

// events are those of an echo that keeps the type of messages.
func (s *side) events() getty.EventListener[[]byte] {
	return getty.EventFuncs[[]byte]{
		Open: func(ss *getty.Session[[]byte]) error {
			_ = ss.Upgrade() // so that it is kept
			s.opened <- ss
			return nil
		},
		Message: func(ss *getty.Session[[]byte], m []byte) error { return ss.Send(m) },
		Cron:    s.cron,
		Close:   func(_ *getty.Session[[]byte], cause error) { s.closed <- cause },
	}
}

// cron notices pongs: without messages nothing else can have come in.
func (s *side) cron(ss *getty.Session[[]byte]) {
	const three = 3 * 2 // pongs without a payload
	if st := ss.Stats(); st.MessagesIn == 0 && st.BytesIn >= three {
		select {
		case s.ponged <- struct{}{}:
		default:
		}
	}
}

const path = "/chat"

// serve starts getty as the server of a setting.
func (o setting) serve(t testing.TB, s *side) (url string, srv *getty.Server[[]byte]) {
	t.Helper()
	cfg := o.config()
	if o.tls && !o.mounted {
		cfg.TLS = serverTLS(t)
	}
	srv, err := getty.NewServer(codec.Raw{}, s.events(), cfg)
	must(t, err)
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	if o.mounted {
		return "ws" + strings.TrimPrefix(mount(t, srv, o.tls).URL, "http") + path, srv
	}
	url = "ws://127.0.0.1:0" + path
	if o.tls {
		url = "wss" + strings.TrimPrefix(url, "ws")
	}
	must(t, srv.Listen(url))
	return srv.URLs()[0], srv
}

// mount serves srv by net/http beside another handler, behind a middleware that
// wraps the ResponseWriter.
func mount(t testing.TB, srv http.Handler, secure bool) *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle("GET "+path, srv)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("fine")) })
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Middleware", "seen")
		mux.ServeHTTP(&wrapped{w}, r)
	}))
	if secure {
		h.TLS = serverTLS(t)
		h.StartTLS()
	} else {
		h.Start()
	}
	t.Cleanup(h.Close)
	return h
}

// wrapped is what middlewares hand on: http.ResponseController sees through it.
type wrapped struct{ http.ResponseWriter }

func (w *wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// dial connects getty as the client of a setting.
func (o setting) dial(t testing.TB, url string, s *side) {
	t.Helper()
	cfg := o.config()
	if o.tls {
		cfg.TLS = clientTLS(t)
	}
	ss, err := getty.Dial(within(t), url, codec.Raw{}, s.events(), cfg)
	must(t, err)
	t.Cleanup(func() {
		_ = ss.Close()
		select {
		case <-ss.Done():
		case <-time.After(limit):
			t.Error("the session does not end")
		}
	})
}

// megabyte is as long as a message may be by default: text that compresses, with
// characters of one to four bytes. noise is as long and does not compress.
var (
	megabyte = bytes.Repeat([]byte("grüße, 世界! 🎈 01234567\x00\n"), 1<<20/32)
	noise    = func() []byte {
		b := make([]byte, 1<<20)
		_, _ = mrand.NewChaCha8([32]byte{}).Read(b)
		return b
	}()
)
