// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

func TestCompressionNames(t *testing.T) {
	for how, want := range map[getty.Compression]string{
		getty.CompressNone: "none", getty.CompressNone.Raw(): "none", getty.CompressFlate: "flate",
		getty.CompressSnappy.Raw(): "raw snappy", getty.CompressZstd: "zstd", 77: "invalid",
	} {
		if got := how.String(); got != want {
			t.Errorf("%d is %q, want %q", how, got, want)
		}
	}
}

func TestCompressionConfig(t *testing.T) {
	wantField := func(err error, field string) {
		t.Helper()
		var ce *getty.ConfigError
		if !errors.As(err, &ce) || ce.Field != field {
			t.Errorf("the error is %v, want one of %s", err, field)
		}
	}
	for _, bad := range []getty.Compression{4, 0x80, 0x84, 255} {
		_, err := getty.NewServer(codec.Line{}, echo, zipConfig(bad))
		wantField(err, "Config.Compression")
		_, err = getty.NewClient("tcp://127.0.0.1:1", codec.Line{}, echo, getty.ClientConfig{Config: zipConfig(bad)})
		wantField(err, "ClientConfig.Compression")
	}
	for _, url := range []string{"ws://127.0.0.1:0", "wss://127.0.0.1:0", "udp://127.0.0.1:0"} {
		cfg := zipConfig(getty.CompressZstd)
		srv, err := getty.NewServer(codec.Line{}, echo, cfg)
		must(t, err)
		wantField(srv.Listen(url), "Config.Compression")
		must(t, srv.Shutdown(within(t)))
		_, err = getty.NewClient(url, codec.Line{}, echo, getty.ClientConfig{Config: cfg})
		wantField(err, "Config.Compression")
		_, err = getty.Dial(within(t), url, codec.Line{}, echo, cfg)
		wantField(err, "Config.Compression")
	}
}

// Everything arrives as it was sent, alone and pipelined, on every stream.
func TestCompressedRoundTrip(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport) {
		eachZip(t, zipAll, func(t *testing.T, how getty.Compression) {
			t.Parallel()
			_, url := serve(t, tr, echo, zipConfig(how), nil)
			r := record()
			s := dial(t, url, r, zipConfig(how))
			texts := zipTexts()
			for _, text := range texts {
				must(t, s.Send(text))
				if got := receive(t, r.messages, "answer"); got != text {
					t.Fatalf("answer to %d bytes is of %d", len(text), len(got))
				}
			}
			var sending sync.WaitGroup
			sending.Go(func() {
				for range 3 {
					for _, text := range texts {
						if err := s.Send(text); err != nil {
							t.Error(err)
						}
					}
				}
			})
			for range 3 {
				for _, text := range texts {
					if got := receive(t, r.messages, "answer"); got != text {
						t.Fatalf("pipelined answer to %d bytes is of %d", len(text), len(got))
					}
				}
			}
			sending.Wait()
			if tr.name == "tcp" {
				if _, ok := s.NetConn().(*net.TCPConn); !ok {
					t.Errorf("NetConn is %T", s.NetConn())
				}
			}
			must(t, s.Close())
			wantEnd(t, r, nil)
		})
	})
}

// A network that hands out single bytes, late and in pieces, changes nothing.
func TestCompressedOverABadNetwork(t *testing.T) {
	for name, faults := range map[string]gettytest.Faults{
		"byte-by-byte": {MaxRead: 1, MaxWrite: 3, Buffer: 64},
		"in-pieces":    {Seed: 3, Latency: time.Millisecond, Jitter: 5 * time.Millisecond, MaxRead: 700, MaxWrite: 300, Buffer: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			eachZip(t, zipAll, func(t *testing.T, how getty.Compression) {
				synctest.Test(t, func(t *testing.T) {
					network := gettytest.NewNetwork(faults)
					l, err := network.Listen("server:1")
					must(t, err)
					srv, err := getty.NewServer(codec.Line{}, echo, zipConfig(how))
					must(t, err)
					go func() { _ = srv.Serve(l) }()
					r := record()
					c, err := getty.NewClient("tcp://server:1", codec.Line{}, r, getty.ClientConfig{Config: zipConfig(how), Dial: network.Dial})
					must(t, err)
					for _, text := range zipTexts() {
						text = text[:min(len(text), 5<<10)]
						must(t, c.Send(t.Context(), text))
						must(t, c.Send(t.Context(), text+"!"))
						for _, want := range []string{text, text + "!"} {
							if got := <-r.messages; got != want {
								t.Fatalf("%d bytes came back as %d", len(want), len(got))
							}
						}
					}
					must(t, c.Shutdown(t.Context()))
					must(t, srv.Shutdown(t.Context()))
				})
			})
		})
	}
}

// net.Pipe has no buffer at all: who writes waits for who reads.
func TestCompressedHandshakeWithoutBuffers(t *testing.T) {
	near, far := net.Pipe()
	srv, err := getty.NewServer(codec.Line{}, echo, zipConfig(getty.CompressZstd))
	must(t, err)
	l := &zipOneConn{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conns <- far
	go func() { _ = srv.Serve(l) }()
	r := record()
	c := pooled(t, "tcp://pipe:1", r, getty.ClientConfig{
		Config: getty.Config{Compression: getty.CompressZstd, CloseTimeout: time.Millisecond}, // nothing is half-closed here
		Dial:   func(context.Context, string, string) (net.Conn, error) { return near, nil },
	})
	must(t, c.Send(within(t), "hello"))
	if got := receive(t, r.messages, "answer"); got != "hello" {
		t.Errorf("the answer is %q", got)
	}
	must(t, c.Shutdown(within(t)))
	must(t, srv.Shutdown(within(t)))
}

// zipOneConn is a listener that accepts what it is given.
type zipOneConn struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *zipOneConn) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *zipOneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *zipOneConn) Addr() net.Addr { return gettytest.Addr("pipe") }

// Other implementations of the formats understand, and are understood.
func TestCompressedInterop(t *testing.T) {
	eachZipStream(t, zipAll, func(t *testing.T, tr transport, how getty.Compression) {
		nc := zipServe(t, tr, echo, zipConfig(how))
		var sending sync.WaitGroup
		defer sending.Wait()
		texts := zipTexts()
		sending.Go(func() {
			for _, text := range texts {
				if _, err := io.WriteString(nc, text+"\n"); err != nil {
					t.Error(err)
				}
			}
		})
		for _, text := range texts {
			got := make([]byte, len(text)+1)
			_, err := io.ReadFull(nc, got)
			must(t, err)
			if string(got) != text+"\n" {
				t.Fatalf("%d bytes came back differently", len(text))
			}
		}
	})
}

// With none, nothing is added to the bytes and nothing taken away.
func TestNoCompressionIsNone(t *testing.T) {
	nc := zipServe(t, transports[0], echo, getty.Config{Compression: getty.CompressNone.Raw()})
	raw := nc.Conn
	write(t, raw, "hello\n")
	got := make([]byte, 6)
	_, err := io.ReadFull(raw, got)
	must(t, err)
	if string(got) != "hello\n" {
		t.Errorf("got %q", got)
	}
}

// Each side that compresses says which compression was where.
func TestCompressionMismatch(t *testing.T) {
	for _, server := range zipPlain {
		for _, client := range zipPlain {
			if server == client {
				continue
			}
			t.Run(fmt.Sprintf("%v-%v", server, client), func(t *testing.T) {
				o := observe()
				cfg := zipConfig(server)
				cfg.Observer = o
				r := record()
				_, url := serve(t, transports[0], r, cfg, nil)
				for _, err := range bothClients(t, url, getty.ClientConfig{Config: zipConfig(client)}) {
					zipWantMismatch(t, err, client.String()+" here", server.String()+" at the peer")
					zipWantMismatch(t, receive(t, o.failed, "failed conn"), server.String()+" here", client.String()+" at the peer")
				}
				wantNoMore(t, r)
				if len(r.opened) > 0 {
					t.Error("a session was opened")
				}
			})
		}
	}
}

func zipWantMismatch(t testing.TB, err error, parts ...string) {
	t.Helper()
	if !errors.Is(err, getty.ErrCompression) {
		t.Fatalf("the error is %v, want ErrCompression", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %q, without %q", err, part)
		}
	}
}

// A peer that does not compress sends no preamble.
func TestCompressionOnOneSideOnly(t *testing.T) {
	eachZip(t, zipPlain, func(t *testing.T, how getty.Compression) {
		t.Run("server", func(t *testing.T) {
			o := observe()
			cfg := zipConfig(how)
			cfg.Observer = o
			_, url := serve(t, transports[0], record(), cfg, nil)
			r := record()
			s := dial(t, url, r, getty.Config{})
			must(t, s.Send("hello"))
			zipWantMismatch(t, receive(t, o.failed, "failed conn"), how.String()+" here", `bytes are "h`)
			if cause := receive(t, r.closed, "OnClose"); cause == nil {
				t.Error("the client was not told")
			}
		})
		t.Run("client", func(t *testing.T) {
			r := record()
			greeting := funcs{
				Open:  func(s *session) error { return s.Send("welcome") },
				Close: func(s *session, cause error) { r.OnClose(s, cause) },
			}
			_, url := serve(t, transports[0], greeting, getty.Config{}, nil)
			for _, err := range bothClients(t, url, getty.ClientConfig{Config: zipConfig(how)}) {
				zipWantMismatch(t, err, how.String()+" here", `bytes are "w`)
				if cause := receive(t, r.closed, "OnClose"); cause == nil {
					t.Error("the server was not told")
				}
			}
		})
	})
}

// Anything else than a preamble fails as soon as it can be known.
func TestCompressionPreamble(t *testing.T) {
	for name, tc := range map[string]struct {
		first string
		want  error
	}{
		"garbage":      {"\xff", getty.ErrCompression},
		"almost":       {"\xf6gy", getty.ErrCompression},
		"unknown":      {"\xf6gz\x49", getty.ErrCompression},
		"raw":          {"\xf6gz\xc1", getty.ErrCompression},
		"a server's":   {"\xf6gz\x01", getty.ErrCompression},
		"torn":         {"\xf6g", io.EOF},
		"gone at once": {"", io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe()
			cfg := zipConfig(getty.CompressFlate)
			cfg.Observer = o
			_, url := serve(t, transports[0], record(), cfg, nil)
			nc := peer(t, url)
			write(t, nc, tc.first)
			if errors.Is(tc.want, io.EOF) {
				halfClose(t, nc)
			}
			err := receive(t, o.failed, "failed conn")
			zipWantMismatch(t, err, "flate here")
			if !errors.Is(err, tc.want) {
				t.Errorf("the error is %v, want %v", err, tc.want)
			}
			_, _ = io.ReadAll(nc) // until the server has closed
		})
	}
	t.Run("of an echo", func(t *testing.T) {
		srv, err := getty.NewServer(codec.Raw{}, wsEcho, getty.Config{})
		must(t, err)
		must(t, srv.Listen("tcp://127.0.0.1:0"))
		t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
		_, err = getty.Dial(within(t), srv.URLs()[0], codec.Raw{}, wsEcho, zipConfig(getty.CompressFlate))
		if !errors.Is(err, getty.ErrCompression) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("in single bytes", func(t *testing.T) {
		_, url := serve(t, transports[0], echo, zipConfig(getty.CompressSnappy), nil)
		nc := peer(t, url)
		for _, b := range getty.ZipPreamble(getty.CompressSnappy) {
			write(t, nc, string([]byte{b}))
		}
		got := make([]byte, 4)
		_, err := io.ReadFull(nc, got)
		must(t, err)
	})
}

// A silent peer does not hold a handshake for longer than HandshakeTimeout.
func TestCompressionSilentPeer(t *testing.T) {
	inVirtualStream(t, func(t *testing.T, v *virtual) {
		o := observe()
		cfg := zipConfig(getty.CompressZstd)
		cfg.Observer, cfg.HandshakeTimeout = o, 3*time.Second
		v.serve(t, record(), cfg, nil)
		nc := v.dial(t)
		begin := v.since()
		write(t, nc, "\xf6g")
		if err := <-o.failed; !errors.Is(err, getty.ErrHandshakeTimeout) {
			t.Errorf("the error is %v", err)
		}
		if d := v.since() - begin; d > 3*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// OnOpen of both sides may send: nobody waits for the other.
func TestCompressedOnOpenSends(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport) {
		eachZip(t, zipAll, func(t *testing.T, how getty.Compression) {
			server, client := record(), record()
			server.onOpen = func(s *session) error { return s.Send("from the server") }
			client.onOpen = func(s *session) error { return s.Send("from the client") }
			_, url := serve(t, tr, server, zipConfig(how), nil)
			dial(t, url, client, zipConfig(how))
			if got := receive(t, server.messages, "message"); got != "from the client" {
				t.Errorf("server got %q", got)
			}
			if got := receive(t, client.messages, "message"); got != "from the server" {
				t.Errorf("client got %q", got)
			}
		})
	})
}

// Close flushes what was accepted, and the peer's end is a clean one.
func TestCompressedCloseFlushes(t *testing.T) {
	eachZipStream(t, zipAll, func(t *testing.T, tr transport, how getty.Compression) {
		const lines = 500
		text := strings.Repeat("flush me ", 20)
		closing := funcs{Message: func(s *session, _ string) error {
			for range lines {
				if err := s.Send(text); err != nil {
					return err
				}
			}
			return s.Close()
		}}
		nc := zipServe(t, tr, closing, zipConfig(how))
		write(t, nc, "go\n")
		if got, want := readAll(t, nc), strings.Repeat(text+"\n", lines); got != want {
			t.Errorf("got %d bytes, want %d", len(got), len(want))
		}
	})
}

// The peer's end behind whole messages is EOF, and all of them are handled.
func TestCompressedEOF(t *testing.T) {
	eachZipStream(t, zipAll, func(t *testing.T, tr transport, how getty.Compression) {
		r := record()
		r.onMessage = func(s *session, m string) error { return s.Send(m) }
		nc := zipServe(t, tr, r, zipConfig(how))
		want := strings.Repeat("one\ntwo\n", 100)
		write(t, nc, want)
		halfClose(t, nc)
		if got := readAll(t, nc); got != want {
			t.Errorf("got %d bytes, want %d", len(got), len(want))
		}
		wantEnd(t, r, io.EOF)
	})
}

// An end inside a block is no clean one.
func TestCompressedTornBlock(t *testing.T) {
	eachZipStream(t, zipAll, func(t *testing.T, tr transport, how getty.Compression) {
		for _, cut := range []int{1, 3, 6, 20} {
			r := record()
			nc := zipServe(t, tr, r, zipConfig(how))
			data := getty.NewZipStream(how).Compress([]byte(strings.Repeat("torn into pieces\n", 50)))
			_, err := nc.Conn.Write(data[:len(data)-cut])
			must(t, err)
			halfClose(t, nc)
			wantEnd(t, r, io.ErrUnexpectedEOF)
		}
	})
}

// Bytes of another format end the session with an error that says so.
func TestCompressedGarbage(t *testing.T) {
	eachZipStream(t, zipAll, func(t *testing.T, tr transport, how getty.Compression) {
		r := record()
		nc := zipServe(t, tr, r, zipConfig(how))
		write(t, nc, "hello\n")
		write(t, nc.Conn, strings.Repeat("\xff\xfe\x07\x17", 100))
		if got := receive(t, r.messages, "message"); got != "hello" {
			t.Errorf("got %q", got)
		}
		cause := receive(t, r.closed, "OnClose")
		zipWantMismatch(t, cause, how.String())
		if kind := getty.CauseKind(cause); kind != "compression" {
			t.Errorf("the kind is %q", kind)
		}
	})
}
