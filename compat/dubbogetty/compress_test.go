// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/dubbo-getty"
)

var compressions = map[string]getty.CompressType{
	"none": getty.CompressNone, "zip": getty.CompressZip, "speed": getty.CompressBestSpeed,
	"best": getty.CompressBestCompression, "huffman": getty.CompressHuffman, "snappy": getty.CompressSnappy,
}

// texts are short and long, easy and impossible to compress.
func texts() []string {
	dice := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte('!' + dice.IntN(90))
	}
	return []string{"", "x", "hello", strings.Repeat("again ", 20_000), string(noise), "last"}
}

// TestCompressions: every type, every transport, both ways, one message at a
// time, so that each is flushed (D41), and several at once.
func TestCompressions(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		for name, how := range compressions {
			if how == getty.CompressSnappy && !tr.isTCP() {
				continue
			}
			t.Run(name, func(t *testing.T) {
				compress := func(s getty.Session) { s.SetCompressType(how) }
				_, addr := serve(t, tr, with(echo(), compress))
				r := record()
				connect(t, tr, addr, 1, with(r, compress))
				s := receive(t, r.opened, "session")
				for _, text := range texts() {
					_, _, err := s.WritePkg(text, 0)
					must(t, err)
					if got := receive(t, r.messages, "echo"); got != text {
						t.Fatalf("the echo of %d bytes has %d", len(text), len(got.(string)))
					}
				}
				_, err := s.WriteBytesArray([]byte("o"), []byte("ne\n"), []byte("two\n"))
				must(t, err)
				for _, want := range []string{"one", "two"} {
					if want == "two" && !tr.isTCP() {
						break // they were one message, of which one package is read
					}
					if got := receive(t, r.messages, "echo"); got != want {
						t.Errorf("got %v, want %s", got, want)
					}
				}
			})
		}
	})
}

// tap is a proxy of one connection that counts what the client sends and receives.
func tap(t *testing.T, addr string) (via string, sent, received *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	sent, received = new(atomic.Int64), new(atomic.Int64)
	pass := func(to, from net.Conn, count *atomic.Int64) {
		buf := make([]byte, 1<<16)
		for {
			n, err := from.Read(buf)
			count.Add(int64(n))
			if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}
	go func() {
		in, err := l.Accept()
		if err != nil {
			return
		}
		defer in.Close()
		out, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer out.Close()
		go func() { pass(in, out, received); in.Close() }()
		pass(out, in, sent)
	}()
	return l.Addr().String(), sent, received
}

// TestWebSocketCompression is agreed on always and used by who called
// SetCompressType, whatever the other side does.
func TestWebSocketCompression(t *testing.T) {
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			server := record()
			_, addr := serve(t, transports[2], with(server))
			via, count, _ := tap(t, addr)
			r := record()
			connect(t, transports[2], via, 1, with(r, func(s getty.Session) {
				if on {
					s.SetCompressType(getty.CompressZip)
				}
				s.SetAttribute("ignore-reconnect", true)
			}))
			_, _, err := receive(t, r.opened, "session").WritePkg(strings.Repeat("x", 100_000), 0)
			must(t, err)
			receive(t, server.messages, "message")
			if n := count.Load(); (n < 10_000) != on {
				t.Errorf("%d bytes on the wire", n)
			}
		})
	}
}

// flusher is what compresses on the way to a peer.
type flusher interface {
	io.Writer
	Flush() error
}

// wantEchoes has texts echoed over and over, each flushed by itself.
func wantEchoes(t *testing.T, how string, w flusher, rd io.Reader) {
	t.Helper()
	for range 3 {
		for _, text := range texts() {
			var writing sync.WaitGroup
			writing.Go(func() {
				_, _ = io.WriteString(w, text+"\n")
				_ = w.Flush()
			})
			buf := make([]byte, len(text)+1)
			_, err := io.ReadFull(rd, buf)
			must(t, err)
			writing.Wait()
			if string(buf) != text+"\n" {
				t.Fatalf("%s: the echo of %d bytes is another one", how, len(text))
			}
		}
	}
}

// TestWireOfFlate is the original's: DEFLATE in raw, flushed after each write,
// with no end when the peer closes, and references as far back as they go.
func TestWireOfFlate(t *testing.T) {
	_, addr := serve(t, transports[0], with(echo(), func(s getty.Session) { s.SetCompressType(getty.CompressZip) }))
	for _, level := range []int{flate.NoCompression, flate.HuffmanOnly, flate.BestSpeed, flate.DefaultCompression, flate.BestCompression} {
		nc, err := net.Dial("tcp", addr)
		must(t, err)
		must(t, nc.SetDeadline(time.Now().Add(patience)))
		w, err := flate.NewWriter(nc, level)
		must(t, err)
		rd := flate.NewReader(nc)
		wantEchoes(t, fmt.Sprintf("level %d", level), w, rd)
		nc.Close()
	}
}

// TestSetCompressTypeLate changes nothing about a stream that has begun.
func TestSetCompressTypeLate(t *testing.T) {
	r := record()
	_, s := pair(t, transports[0], echo(), r)
	s.SetCompressType(getty.CompressZip)
	_, _, err := s.WritePkg("x", 0)
	must(t, err)
	if got := receive(t, r.messages, "echo"); got != "x" {
		t.Errorf("the echo is %v", got)
	}
}

// TestD43Expansion: compressed bytes are not expanded beyond the limit of a package.
func TestD43Expansion(t *testing.T) {
	r := record()
	_, addr := serve(t, transports[0], with(r, func(s getty.Session) {
		s.SetCompressType(getty.CompressZip)
		s.SetMaxMsgLen(1000)
	}))
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	defer nc.Close()
	w, err := flate.NewWriter(nc, flate.BestCompression)
	must(t, err)
	go func() {
		_, _ = io.Copy(w, io.LimitReader(zeros{}, 100<<20))
		_ = w.Flush()
	}()
	receive(t, r.errs, "OnError")
	receive(t, r.closed, "OnClose")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestEOFUnderCompression is the end of the stream like any other, although the
// original never ends its DEFLATE.
func TestEOFUnderCompression(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		for nc, err := l.Accept(); err == nil; nc, err = l.Accept() {
			w, _ := flate.NewWriter(nc, flate.BestSpeed) // the level is valid
			_, _ = io.WriteString(w, "hello\n")
			_ = w.Flush()
			_ = nc.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, nc)
			nc.Close()
		}
	}()
	r := record()
	connect(t, transports[0], l.Addr().String(), 1, with(r, func(s getty.Session) { s.SetCompressType(getty.CompressZip) }), fast)
	receive(t, r.opened, "session")
	if got := receive(t, r.messages, "message"); got != "hello" {
		t.Errorf("the message is %v", got)
	}
	receive(t, r.closed, "OnClose")
	wantNone(t, r.errs, "OnError")
	wantNone(t, r.opened, "session after EOF")
}
