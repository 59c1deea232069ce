// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/getty-net/getty/codec"
)

// deafOwner lets nothing leave.
type deafOwner struct{}

func (deafOwner) controlPending() {}
func (deafOwner) nothingYet()     {}
func (deafOwner) waits()          {}
func (deafOwner) charge(int)      {}

// What TLS has to say by itself, such as answers to key updates, is bounded for a
// peer that does not read it.
func TestTLSControlIsBounded(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	peer := tls.Client(far, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // nothing is at stake
	shaken := make(chan error, 1)
	go func() { shaken <- peer.Handshake() }()
	c, err := tlsHandshake(&portableConn{nc: near}, window{}, &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}, false) //nolint:gosec // the default is 1.2
	if err = errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	defer c.drop()
	c.owner = deafOwner{}
	for _, tt := range []struct {
		more int
		want error
	}{{maxControl, nil}, {1, ErrSlowConsumer}} {
		if _, err := c.shim.Write(make([]byte, tt.more)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = peer.Write([]byte("x")) }()
		var in window
		if err := c.read(&in); !errors.Is(err, tt.want) {
			t.Errorf("with %d bytes the error is %v, want %v", c.shim.collected(), err, tt.want)
		} else if _, got := c.held(); err == nil && got != 0 {
			// A layer above would count them twice, and a peer seem to have gone back.
			t.Errorf("%d bytes count as held that have been handed over", got)
		}
		in.release()
	}
}

// In the handshake the goroutine that runs it is the writer: nobody else's bytes
// may meet its.
func TestTLSControlWaitsForTheHandshake(t *testing.T) {
	ep := new(endpoint)
	if err := ep.init(Config{}, "Config"); err != nil {
		t.Fatal(err)
	}
	sink := new(sinkConn)
	s := newSession(ep, "wss", sink, codec.Raw{}, NopEvents[[]byte]{})
	s.controlPending()
	if sink.writes != 0 {
		t.Error("it leaves in the handshake")
	}
	if !s.opening() {
		t.Fatal("it does not open")
	}
	s.controlPending()
	if sink.writes != 1 {
		t.Errorf("%d writes once the session is open, want one", sink.writes)
	}
}
