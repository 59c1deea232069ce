// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/apache/dubbo-getty"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// quiet is how long a test watches for what must not.
const quiet = 100 * time.Millisecond

var errTest = errors.New("test")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("there is no %s", what)
		panic("unreachable")
	}
}

func wantNone[T any](t testing.TB, ch <-chan T, what string) {
	t.Helper()
	select {
	case v := <-ch:
		t.Fatalf("there is a %s: %v", what, v)
	case <-time.After(quiet):
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come to this: %s", what)
		}
	}
}

// nilError panics when errors.Is looks at a nil pointer of it.
type nilError struct{ why error }

func (e *nilError) Error() string { return "nil" }
func (e *nilError) Unwrap() error { return e.why }

// lines is a codec of strings, one in a line. It is what most tests use.
type lines struct{}

func (lines) Read(_ getty.Session, data []byte) (interface{}, int, error) {
	if bytes.HasPrefix(data, []byte("bad")) {
		return nil, 0, errTest
	}
	if bytes.HasPrefix(data, []byte("nil")) {
		return nil, 0, (*nilError)(nil)
	}
	i := bytes.IndexByte(data, '\n')
	if i < 0 {
		return nil, 0, nil
	}
	return string(data[:i]), i + 1, nil
}

func (lines) Write(_ getty.Session, pkg interface{}) ([]byte, error) {
	switch ctx := pkg.(type) {
	case getty.UDPContext:
		pkg = ctx.Pkg
	case *getty.UDPContext:
		pkg = ctx.Pkg
	}
	s, ok := pkg.(string)
	if !ok {
		return nil, errTest
	}
	return append([]byte(s), '\n'), nil
}

// alias is a Reader of lines that returns what it was given, with the end of the line.
var alias = codec{read: func(_ getty.Session, data []byte) (interface{}, int, error) {
	i := bytes.IndexByte(data, '\n')
	if i < 0 {
		return nil, 0, nil
	}
	return data[:i+1], i + 1, nil
}}

// wantLines wants each of count lines to be among what was read.
func wantLines(t testing.TB, got [][]byte, count int, line func(i int) string) {
	t.Helper()
	seen := make(map[string]bool)
	for _, m := range got {
		seen[string(m)] = true
	}
	for i := range count {
		if !seen[line(i)] {
			t.Fatalf("line %d is missing or changed", i)
		}
	}
}

// codec is a ReadWriter of functions.
type codec struct {
	read  func(getty.Session, []byte) (interface{}, int, error)
	write func(getty.Session, interface{}) ([]byte, error)
}

func (c codec) Read(s getty.Session, data []byte) (interface{}, int, error) {
	if c.read == nil {
		return lines{}.Read(s, data)
	}
	return c.read(s, data)
}

func (c codec) Write(s getty.Session, pkg interface{}) ([]byte, error) {
	if c.write == nil {
		return lines{}.Write(s, pkg)
	}
	return c.write(s, pkg)
}

// recorder is a listener that hands on what it is told.
type recorder struct {
	opened   chan getty.Session
	messages chan interface{}
	errs     chan error
	closed   chan getty.Session
	crons    chan getty.Session

	onOpen    func(getty.Session) error
	onMessage func(getty.Session, interface{})
	onError   func(getty.Session, error)
	onClose   func(getty.Session)
	onCron    func(getty.Session)
}

func record() *recorder {
	return &recorder{
		opened: make(chan getty.Session, 1000), messages: make(chan interface{}, 10000),
		errs: make(chan error, 1000), closed: make(chan getty.Session, 1000), crons: make(chan getty.Session, 1000),
	}
}

func (r *recorder) OnOpen(s getty.Session) error {
	r.opened <- s
	if r.onOpen != nil {
		return r.onOpen(s)
	}
	return nil
}

func (r *recorder) OnMessage(s getty.Session, pkg interface{}) {
	if r.onMessage != nil {
		r.onMessage(s, pkg)
		return
	}
	r.messages <- pkg
}

func (r *recorder) OnError(s getty.Session, err error) {
	if r.onError != nil {
		r.onError(s, err)
	}
	r.errs <- err
}

func (r *recorder) OnClose(s getty.Session) {
	if r.onClose != nil {
		r.onClose(s)
	}
	r.closed <- s
}

func (r *recorder) OnCron(s getty.Session) {
	if r.onCron != nil {
		r.onCron(s)
	}
	select {
	case r.crons <- s:
	default:
	}
}

// echo answers each message with itself.
func echo() *recorder {
	r := record()
	r.onMessage = func(s getty.Session, pkg interface{}) { _, _, _ = s.WritePkg(pkg, 0) }
	return r
}

// with sets sessions up with lines and a listener, and then as the functions say.
func with(l getty.EventListener, more ...func(getty.Session)) getty.NewSessionCallback {
	return func(s getty.Session) error {
		s.SetPkgHandler(lines{})
		s.SetEventListener(l)
		s.SetMaxMsgLen(1 << 20)
		for _, f := range more {
			f(s)
		}
		return nil
	}
}

// pki is a certificate authority and a certificate of its for 127.0.0.1 in files.
type pki struct{ ca, cert, key string }

var (
	pkiOnce sync.Once
	pkiPEM  struct{ ca, cert, key []byte }
)

// files writes certificates that are made once.
func files(t testing.TB) pki {
	t.Helper()
	pkiOnce.Do(func() { pkiPEM.ca, pkiPEM.cert, pkiPEM.key = makePKI(t) })
	dir := t.TempDir()
	p := pki{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	must(t, os.WriteFile(p.ca, pkiPEM.ca, 0o600))
	must(t, os.WriteFile(p.cert, pkiPEM.cert, 0o600))
	must(t, os.WriteFile(p.key, pkiPEM.key, 0o600))
	return p
}

func makePKI(t testing.TB) (ca, cert, key []byte) {
	t.Helper()
	template := func(serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			BasicConstraintsValid: true, IsCA: serial == 1,
			KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	caDER, err := x509.CreateCertificate(rand.Reader, template(1), template(1), caKey.Public(), caKey)
	must(t, err)
	leafDER, err := x509.CreateCertificate(rand.Reader, template(2), template(1), leafKey.Public(), caKey)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	must(t, err)
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return block("CERTIFICATE", caDER), block("CERTIFICATE", leafDER), block("PRIVATE KEY", keyDER)
}
