// SPDX-License-Identifier: Apache-2.0

package proxyproto_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// frames are messages with their length in front.
var frames = codec.Marshal[string]{
	Marshal:   func(dst []byte, m string) ([]byte, error) { return append(dst, m...), nil },
	Unmarshal: func(data []byte) (string, error) { return string(data), nil },
}

// joined is the conn of a load balancer that passes its header on together with
// the first bytes of its client.
type joined struct {
	*net.TCPConn
	header []byte // nil: it is out
}

func (c *joined) Write(p []byte) (int, error) {
	if c.header == nil {
		return c.TCPConn.Write(p)
	}
	n, err := c.TCPConn.Write(append(c.header, p...))
	n, c.header = max(n-len(c.header), 0), nil
	return n, err
}

// watched is a listener that tells what was read with each header.
type watched struct {
	net.Listener
	ahead chan []byte
}

func (l watched) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if pc, ok := nc.(getty.PrefacedConn); ok {
		return watchedConn{pc, l.ahead}, err
	}
	return nc, err
}

type watchedConn struct {
	getty.PrefacedConn
	ahead chan []byte
}

func (c watchedConn) Preface() (getty.Preface, error) {
	p, err := c.PrefacedConn.Preface()
	c.ahead <- bytes.Clone(p.Ahead)
	return p, err
}

// layers are what may stand behind a header, and how it begins.
var layers = map[string]struct {
	url    string
	codec  getty.Codec[string]
	cfg    getty.Config
	how    serving
	begins string
}{
	"lines":     {"tcp://", codec.Line{}, getty.Config{}, plain, "hello\n"},
	"frames":    {"tcp://", frames, getty.Config{}, plain, "\x00\x00\x00\x05hello"},
	"tls":       {"tls://", codec.Line{}, getty.Config{}, (*getty.Server[string]).ServeTLS, "\x16\x03\x01"},
	"ws":        {"ws://", codec.Line{}, getty.Config{}, webSocket, "GET / HTTP/1.1\r\n"},
	"wss":       {"wss://", codec.Line{}, getty.Config{}, webSocketTLS, "\x16\x03\x01"},
	"zstd":      {"tcp://", codec.Line{}, getty.Config{Compression: getty.CompressZstd}, plain, "\xf6gz"},
	"raw flate": {"tcp://", codec.Line{}, getty.Config{Compression: getty.CompressFlate.Raw()}, plain, ""},
	"tls, zstd": {
		"tls://",
		codec.Line{},
		getty.Config{Compression: getty.CompressZstd},
		(*getty.Server[string]).ServeTLS, "\x16\x03\x01",
	},
}

// What comes in one write with the header is not lost, whatever it is.
func TestOtherLayersInOneWrite(t *testing.T) {
	cert, roots := certificate(t)
	server := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	client := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	for name, tc := range layers {
		for _, version := range []byte{1, 2} {
			t.Run(fmt.Sprintf("%s, v%d", name, version), func(t *testing.T) {
				ahead := make(chan []byte, 1)
				cfg := tc.cfg
				cfg.TLS = server
				s := serveCodec(t, tc.codec, cfg, func(s *getty.Server[string], l net.Listener) error {
					return tc.how(s, watched{l, ahead})
				})
				cfg.TLS = client
				got := make(chan string, 1)
				c, err := getty.NewClient(tc.url+s.addr, tc.codec, getty.EventFuncs[string]{
					Message: func(_ *getty.Session[string], m string) error { got <- strings.Clone(m); return nil },
				}, getty.ClientConfig{Config: cfg, Dial: balanced(header(t, version, "192.0.2.7:4711", "198.51.100.1:443"))})
				must(t, err)
				ctx, cancel := context.WithTimeout(context.Background(), limit)
				defer cancel()
				must(t, c.Send(ctx, "hello"))
				if m := receive(t, got, "answer"); m != "hello" {
					t.Errorf("%q came back", m)
				}
				if p := receive(t, ahead, "preface"); len(p) == 0 || !bytes.HasPrefix(p, []byte(tc.begins)) {
					t.Errorf("%q was read with the header, want %q first", p, tc.begins)
				}
				if o := receive(t, s.opened, "session"); o.remote != "192.0.2.7:4711" {
					t.Errorf("the session is %+v", o)
				}
				must(t, c.Shutdown(ctx))
			})
		}
	}
}

// balanced dials what puts a header in front.
func balanced(header []byte) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &joined{nc.(*net.TCPConn), header}, nil
	}
}
