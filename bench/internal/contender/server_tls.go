// SPDX-License-Identifier: Apache-2.0

package contender

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

// tlsServer is crypto/tls without a library: the same loop as netServer, one write for each message.
type tlsServer struct {
	net.Listener
	body int
}

func startTLSNet(opts Options) (Server, error) {
	cfg, err := serverTLS()
	if err != nil {
		return nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		return nil, err
	}
	s := &tlsServer{l, opts.Body}
	go s.accept()
	return s, nil
}

func (s *tlsServer) accept() {
	for {
		c, err := s.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = s.serve(c)
		}()
	}
}

// serve writes message by message. Collecting would gain nothing: tls.Conn.Read returns one record at a time, and
// the peer sends each message in its own.
func (s *tlsServer) serve(c net.Conn) error {
	r := bufio.NewReaderSize(c, max(4096, header+s.body))
	var out []byte
	for {
		if err := awaitFrame(r); err != nil {
			return err
		}
		data, err := r.Peek(r.Buffered())
		if err != nil {
			return err
		}
		body, size, err := next(data)
		if err != nil {
			return err
		}
		out = appendFrame(out[:0], body)
		if _, err := c.Write(out); err != nil {
			return err
		}
		if _, err := r.Discard(size); err != nil {
			return err
		}
	}
}

// serverTLS makes a certificate up.
func serverTLS() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "getty bench"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}
