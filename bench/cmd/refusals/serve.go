// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/proxyproto"
)

// serve runs the server of a kind until its standard input ends, and hands out its books when asked.
func serve(name string) error {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return fmt.Errorf("there is no kind %q", name)
	}
	k := kinds[i]
	if k.bare {
		return serveBare()
	}
	cfg := k.cfg()
	if k.url == overTLS {
		var err error
		if cfg.TLS, err = selfSigned(); err != nil {
			return err
		}
	}
	var events getty.EventFuncs[[]byte]
	if k.deaf {
		events.Message = talk
	}
	srv, err := getty.NewServer(codec.LengthField{LengthSize: 4}, events, cfg)
	if err != nil {
		return err
	}
	addr, err := listen(srv, k)
	if err != nil {
		return err
	}
	fmt.Println(addr)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		st := srv.Stats()
		fmt.Println(cpuTime().Nanoseconds(), st.Rejected+st.Failed+st.Closed, st.Refusals[k.want]+st.Causes[k.want])
	}
	fmt.Fprintf(os.Stderr, "%s: %v %v\n", name, srv.Stats().Refusals, srv.Stats().Causes)
	return srv.Shutdown(context.Background())
}

// talk answers until the session ends.
func talk(s *getty.Session[[]byte], _ []byte) error {
	chunk := make([]byte, 16<<10)
	for {
		if err := s.Send(chunk); err != nil {
			return err
		}
	}
}

// listen returns where the server can be reached.
func listen(srv *getty.Server[[]byte], k kind) (addr string, err error) {
	if k.proxied {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		go func() { _ = srv.Serve(proxyproto.NewListener(l, netip.MustParsePrefix("127.0.0.0/8"))) }() // until Shutdown
		return l.Addr().String(), nil
	}
	url := k.url
	if url == "" {
		url = "tcp://127.0.0.1:0"
	}
	if err := srv.Listen(url); err != nil {
		return "", err
	}
	_, addr, _ = strings.Cut(srv.URLs()[0], "://")
	return strings.TrimSuffix(addr, "/"), nil
}

func selfSigned() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}, nil
}
