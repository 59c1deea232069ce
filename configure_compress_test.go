// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/getty-net/getty"
)

// TestConfigureCompresses: a raw compression of one session's own, which the
// peer has for all of its sessions, while another session of the server has none.
func TestConfigureCompresses(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport) {
		for _, how := range zipAll[:3] {
			t.Run(strings.ReplaceAll(how.String(), " ", "-"), func(t *testing.T) {
				var compress atomic.Bool
				_, url := serve(t, tr, echo, getty.Config{}, func(srv *getty.Server[string]) {
					srv.Configure = func(_ *session, u *setup) error {
						if compress.Load() {
							u.Compression = how
						}
						return nil
					}
				})
				for _, on := range []bool{false, true, true} {
					compress.Store(on)
					cfg := getty.Config{}
					if on {
						cfg.Compression = how
					}
					r := record()
					s := dial(t, url, r, cfg)
					for _, text := range zipTexts() {
						must(t, s.Send(text))
						if got := receive(t, r.messages, "answer"); got != text {
							t.Fatalf("answer to %d bytes is of %d", len(text), len(got))
						}
					}
					must(t, s.Close())
					wantEnd(t, r, nil)
				}
			})
		}
	})
}

// TestConfigureCompressionChecked: nothing with a preamble, nothing beside the
// endpoint's own, nothing on WebSocket.
func TestConfigureCompressionChecked(t *testing.T) {
	for _, c := range []struct {
		transport     string
		endpoint, own getty.Compression
	}{
		{"tcp", getty.CompressNone, getty.CompressFlate},
		{"tcp", getty.CompressNone, 0x84},
		{"tcp", getty.CompressFlate, getty.CompressNone},
		{"tcp", getty.CompressFlate.Raw(), getty.CompressSnappy.Raw()},
		{"ws", getty.CompressNone, getty.CompressFlate.Raw()},
	} {
		t.Run(c.transport+c.own.String(), func(t *testing.T) {
			_, url := serve(t, transportNamed(t, c.transport), echo, getty.Config{Compression: c.endpoint}, nil)
			cl := pooled(t, url, record(), getty.ClientConfig{Config: zipConfig(c.endpoint), MaxFailures: 1})
			cl.Configure = func(_ *session, u *setup) error {
				u.Compression = c.own
				return nil
			}
			err := cl.Connect(within(t))
			if ce := (*getty.ConfigError)(nil); !errors.As(err, &ce) || ce.Field != "Setup.Compression" {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func transportNamed(t *testing.T, name string) transport {
	t.Helper()
	i := slices.IndexFunc(transports, func(tr transport) bool { return tr.name == name })
	if i < 0 {
		t.Fatalf("there is no transport %q", name)
	}
	return transports[i]
}

// countingConn counts what is written.
type countingConn struct {
	net.Conn
	written *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.written.Add(int64(len(p)))
	return c.Conn.Write(p)
}

// TestConfigureDeflate: one session leaves its messages as they are although
// compression was agreed on, and reads compressed ones.
func TestConfigureDeflate(t *testing.T) {
	for _, on := range []bool{true, false} {
		_, url := serve(t, transportNamed(t, "ws"), echo, getty.Config{
			MaxMessageSize: 1 << 20, WebSocket: getty.WebSocketConfig{Deflate: getty.Deflate{Enabled: true}},
		}, nil)
		var written atomic.Int64
		r := record()
		cl := pooled(t, url, r, getty.ClientConfig{
			Config: getty.Config{WebSocket: getty.WebSocketConfig{Deflate: getty.Deflate{Enabled: true}}},
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := new(net.Dialer).DialContext(ctx, network, address)
				return countingConn{nc, &written}, err
			},
		})
		cl.Configure = func(_ *session, u *setup) error {
			if !u.Deflate {
				t.Error("Setup.Deflate is not what was agreed on")
			}
			u.Deflate = on
			return nil
		}
		must(t, cl.Connect(within(t)))
		text := strings.Repeat("0", 100<<10)
		must(t, cl.Send(within(t), text))
		if got := receive(t, r.messages, "answer"); got != text {
			t.Fatalf("the answer has %d bytes", len(got))
		}
		if n := written.Load(); (n < 10<<10) != on {
			t.Errorf("with Deflate %v %d bytes were written", on, n)
		}
	}
}

// TestConfigureDeflateChecked: what was not agreed on cannot be chosen.
func TestConfigureDeflateChecked(t *testing.T) {
	for _, name := range []string{"tcp", "ws"} {
		_, url := serve(t, transportNamed(t, name), echo, getty.Config{}, nil)
		cl := pooled(t, url, record(), getty.ClientConfig{MaxFailures: 1})
		cl.Configure = func(_ *session, u *setup) error {
			u.Deflate = true
			return nil
		}
		err := cl.Connect(within(t))
		if ce := (*getty.ConfigError)(nil); !errors.As(err, &ce) || ce.Field != "Setup.Deflate" {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

// TestAddressesInConfigure can be asked for from another goroutine, too.
func TestAddressesInConfigure(t *testing.T) {
	asked := make(chan string, 1)
	_, url := serve(t, transports[0], echo, getty.Config{}, func(srv *getty.Server[string]) {
		srv.Configure = func(s *session, u *setup) error {
			u.Compression = getty.CompressSnappy.Raw()
			go func() { asked <- s.RemoteAddr().String() + s.NetConn().LocalAddr().String() }()
			return nil
		}
	})
	nc := peer(t, url)
	if got, want := receive(t, asked, "address"), nc.LocalAddr().String()+nc.RemoteAddr().String(); got != want {
		t.Errorf("the addresses are %s, want %s", got, want)
	}
	nc.Close()
	_, _ = io.Copy(io.Discard, nc)
}
