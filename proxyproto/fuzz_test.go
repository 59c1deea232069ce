// SPDX-License-Identifier: Apache-2.0

package proxyproto_test

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/proxyproto"
)

func FuzzPreface(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\nhello\n"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbbhello\n"))
	f.Add([]byte("PROXY UNKNOWN\r\nx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := net.Pipe()
		go func() {
			_, _ = far.Write(data)
			_ = far.Close()
		}()
		l := proxyproto.NewListener(&one{conn: loopback{near}}, netip.MustParsePrefix("127.0.0.1/32"))
		nc, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p, err := nc.(getty.PrefacedConn).Preface()
		if err == nil {
			rest, _ := io.ReadAll(near)
			if got := append(bytes.Clone(p.Ahead), rest...); !bytes.HasSuffix(data, got) {
				t.Errorf("%q is left of %q", got, data)
			}
		}
		_ = near.Close()
	})
}

// one is a listener of one conn.
type one struct {
	net.Listener
	conn net.Conn
}

func (l *one) Accept() (net.Conn, error) { return l.conn, nil }

type loopback struct{ net.Conn }

func (loopback) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
