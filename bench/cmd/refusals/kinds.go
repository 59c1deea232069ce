// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// kind is one reason to refuse.
type kind struct {
	name  string
	url   string // tcp if empty; tls gets a certificate
	cfg   func() getty.Config
	holds bool   // a session that is let in is held meanwhile
	sends []byte // by each attempt
}

var kinds = []kind{
	{name: "address denied", cfg: func() getty.Config {
		return getty.Config{Guard: getty.Guard{Access: getty.NewAccessList(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})}}
	}},
	{name: "accept rate", cfg: func() getty.Config {
		return getty.Config{Guard: getty.Guard{Accepts: getty.Rate{PerSecond: 1}}}
	}},
	{name: "accept rate of a network", cfg: func() getty.Config {
		return getty.Config{Guard: getty.Guard{AcceptsPerPrefix: getty.Rate{PerSecond: 1}}}
	}},
	{name: "too many sessions", holds: true, cfg: func() getty.Config { return getty.Config{MaxSessions: 1} }},
	{name: "too many sessions of an address", holds: true, cfg: func() getty.Config { return getty.Config{MaxSessionsPerAddr: 1} }},
	{name: "too many sessions of a network", holds: true, cfg: func() getty.Config {
		return getty.Config{Guard: getty.Guard{MaxSessionsPerPrefix: 1}}
	}},
	{name: "no first message", cfg: func() getty.Config {
		return getty.Config{Limits: getty.Limits{FirstMessageTimeout: time.Millisecond}}
	}},
	{name: "a message that stays unfinished", sends: []byte{0, 0, 0, 9, 1}, cfg: func() getty.Config {
		return getty.Config{MessageTimeout: time.Millisecond}
	}},
	{name: "a message announced too long", sends: []byte{1, 0, 0, 0}, cfg: func() getty.Config { return getty.Config{} }},
	{name: "message rate", sends: bytes.Repeat([]byte{0, 0, 0, 1, 'x'}, 101), cfg: func() getty.Config {
		return getty.Config{Limits: getty.Limits{Messages: getty.Rate{PerSecond: 100}}}
	}},
	{name: "byte rate", sends: append([]byte{0, 0, 0x80, 0}, make([]byte, 32<<10)...), cfg: func() getty.Config {
		return getty.Config{Limits: getty.Limits{Bytes: getty.Rate{PerSecond: 16 << 10}}}
	}},
	{name: "garbage instead of TLS", url: "tls://127.0.0.1:0", sends: []byte("garbage, and enough of it"), cfg: func() getty.Config { return getty.Config{} }},
	{name: "a TLS handshake that stays unfinished", url: "tls://127.0.0.1:0", sends: []byte{22, 3, 1, 2, 0, 1}, cfg: func() getty.Config {
		return getty.Config{HandshakeTimeout: time.Millisecond}
	}},
	{
		name: "garbage instead of a WebSocket handshake", url: "ws://127.0.0.1:0",
		sends: []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		cfg:   func() getty.Config { return getty.Config{CloseTimeout: time.Millisecond} },
	},
	{name: "no preamble of compression", sends: []byte("garbage"), cfg: func() getty.Config {
		return getty.Config{Compression: getty.CompressFlate}
	}},
	{name: "a bomb of 64 MB, by ratio", sends: bomb(1 << 19), cfg: func() getty.Config {
		return getty.Config{Compression: getty.CompressFlate.Raw(), Limits: getty.Limits{MaxExpansion: 20}}
	}},
	{name: "a bomb of 64 MB, by size", sends: bomb(64 << 20), cfg: func() getty.Config {
		return getty.Config{Compression: getty.CompressFlate.Raw()}
	}},
}

// bomb is a message of 64 MB of zeros, compressed, that announces another size.
func bomb(announced uint32) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // the level is valid
	_, _ = w.Write(append(binary.BigEndian.AppendUint32(nil, announced), make([]byte, 64<<20)...))
	_ = w.Flush()
	return b.Bytes()
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

// serve runs the server of a kind until its standard input ends, and says how much CPU time it has used when asked.
func serve(name string) error {
	for _, k := range kinds {
		if k.name != name {
			continue
		}
		url, cfg := k.url, k.cfg()
		if url == "" {
			url = "tcp://127.0.0.1:0"
		}
		if strings.HasPrefix(url, "tls") {
			var err error
			if cfg.TLS, err = selfSigned(); err != nil {
				return err
			}
		}
		srv, err := getty.NewServer(codec.LengthField{LengthSize: 4}, getty.NopEvents[[]byte]{}, cfg)
		if err != nil {
			return err
		}
		if err := srv.Listen(url); err != nil {
			return err
		}
		_, addr, _ := strings.Cut(srv.URLs()[0], "://")
		fmt.Println(strings.TrimSuffix(addr, "/"))
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Println(cpuTime().Nanoseconds())
		}
		fmt.Fprintf(os.Stderr, "%s: %v %v\n", name, srv.Stats().Refusals, srv.Stats().Causes)
		return srv.Shutdown(context.Background())
	}
	return fmt.Errorf("there is no kind %q", name)
}
