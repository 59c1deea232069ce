// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/getty-net/getty"
)

// zipAll are all compressions, zipPlain those with a preamble.
var (
	zipPlain = []getty.Compression{getty.CompressFlate, getty.CompressSnappy, getty.CompressZstd}
	zipAll   = append([]getty.Compression{
		getty.CompressFlate.Raw(), getty.CompressSnappy.Raw(), getty.CompressZstd.Raw(),
	}, zipPlain...)
)

// eachZip runs a test over every compression.
func eachZip(t *testing.T, of []getty.Compression, test func(t *testing.T, how getty.Compression)) {
	for _, how := range of {
		t.Run(strings.ReplaceAll(how.String(), " ", "-"), func(t *testing.T) { test(t, how) })
	}
}

// eachZipStream is eachZip over every transport that can be compressed.
func eachZipStream(t *testing.T, of []getty.Compression, test func(t *testing.T, tr transport, how getty.Compression)) {
	eachStream(t, func(t *testing.T, tr transport) {
		eachZip(t, of, func(t *testing.T, how getty.Compression) { test(t, tr, how) })
	})
}

func zipConfig(how getty.Compression) getty.Config { return getty.Config{Compression: how} }

// zipConn is a raw peer that compresses with other implementations than getty's.
type zipConn struct {
	net.Conn
	r io.Reader
	w func(p []byte) error
}

func (c *zipConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func (c *zipConn) Write(p []byte) (int, error) {
	if err := c.w(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *zipConn) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// zipPeer puts compression over a raw peer, with the preamble of the dialing side.
func zipPeer(t testing.TB, nc net.Conn, how getty.Compression) *zipConn {
	t.Helper()
	if how != how.Raw() {
		_, err := nc.Write(getty.ZipPreamble(how))
		must(t, err)
		got := make([]byte, 4)
		_, err = io.ReadFull(nc, got)
		must(t, err)
		if !bytes.Equal(got, getty.ZipAnswer(how)) {
			t.Fatalf("the preamble of the server is %q", got)
		}
	}
	c := &zipConn{Conn: nc}
	switch how.Raw() {
	case getty.CompressFlate.Raw():
		c.r = flate.NewReader(nc)
		w, err := flate.NewWriter(nc, flate.BestCompression)
		must(t, err)
		c.w = func(p []byte) error {
			if how != how.Raw() {
				w.Reset(nc)
			}
			if _, err := w.Write(p); err != nil {
				return err
			}
			return w.Flush()
		}
	case getty.CompressSnappy.Raw():
		c.r = snappy.NewReader(nc)
		w := s2.NewWriter(nc, s2.WriterSnappyCompat(), s2.WriterConcurrency(1))
		c.w = func(p []byte) error {
			if _, err := w.Write(p); err != nil {
				return err
			}
			return w.Flush()
		}
	case getty.CompressZstd.Raw():
		r, err := zstd.NewReader(nc, zstd.WithDecoderConcurrency(1))
		must(t, err)
		c.r = r
		w, err := zstd.NewWriter(nil)
		must(t, err)
		c.w = func(p []byte) error {
			for len(p) > 0 {
				n := min(len(p), 100<<10)
				if _, err := nc.Write(w.EncodeAll(p[:n], nil)); err != nil {
					return err
				}
				p = p[n:]
			}
			return nil
		}
	}
	return c
}

// zipServe starts a server and returns a peer of it.
func zipServe(t testing.TB, tr transport, events getty.EventListener[string], cfg getty.Config) *zipConn {
	t.Helper()
	_, url := serve(t, tr, events, cfg, nil)
	return zipPeer(t, peer(t, url), cfg.Compression)
}

// zipTexts are lines that compress well, badly, and not at all.
func zipTexts() []string {
	dice := rand.New(rand.NewPCG(7, 7))
	noise := make([]byte, 100<<10)
	for i := range noise {
		for noise[i] = '\n'; noise[i] == '\n'; {
			noise[i] = byte(dice.Uint32())
		}
	}
	var words strings.Builder
	for words.Len() < 100<<10 {
		_, _ = fmt.Fprintf(&words, "%d words ", dice.IntN(500))
	}
	return []string{"", "x", "hello", strings.Repeat("again ", 20), string(noise), words.String(), strings.Repeat("0", 300<<10), string(noise[:1000])}
}
