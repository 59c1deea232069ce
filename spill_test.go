// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// flood writes until the conn is cut, and returns how much that was.
func flood(t *testing.T, nc net.Conn) (n int) {
	t.Helper()
	chunk := []byte(strings.Repeat("x", 16<<10-1) + "\n")
	for {
		m, err := nc.Write(chunk)
		n += m
		if err != nil {
			return n
		}
	}
}

// TestWhoIsRefusedIsReadSlowly: a peer that goes on sending after an error soon
// meets a full buffer. All that it sent was read, for CloseTimeout: 60 MB in this
// test, and 8 with wss.
func TestWhoIsRefusedIsReadSlowly(t *testing.T) {
	const most = 4 << 20 // 256 KiB, a batch, and two or three more
	eachSide(t, func(t *testing.T, open opener) {
		r := record()
		r.onMessage = func(*session, string) error { return errTest }
		ep, nc := open(t, spec{events: r, cfg: getty.Config{CloseTimeout: 50 * time.Millisecond, MaxMessageSize: 64 << 10}})
		sent := flood(t, nc)
		wantEnd(t, r, errTest)
		finish(t, ep)
		if n := ep.Stats().BytesIn; n > most {
			t.Errorf("%d of %d bytes were read, want %d at most", n, sent, most)
		}
	})
}

// TestWhoIsRefusedIsReadSlowlyInLongFrames: a frame that is not whole makes the
// buffer grow, and reads no longer.
func TestWhoIsRefusedIsReadSlowlyInLongFrames(t *testing.T) {
	const size, most = 1 << 20, 9 << 20 // 256 KiB, a frame or two, and 75 times 64 KiB
	eachWebSocket(t, func(t *testing.T, tr transport) {
		r := record()
		r.onMessage = func(*session, string) error { return errTest }
		srv, url := serve(t, tr, r, getty.Config{CloseTimeout: 1500 * time.Millisecond, MaxMessageSize: size}, nil)
		nc := asWritten(peer(t, url))
		write(t, nc, "message\n")
		frame := []byte(strings.Repeat("x", size))
		for err := error(nil); err == nil; {
			_, err = nc.Write(frame)
		}
		wantEnd(t, r, errTest)
		finish(t, srv)
		if n := srv.Stats().BytesIn; n > most {
			t.Errorf("%d bytes were read, want %d at most", n, most)
		}
	})
}

// TestWhoIsRefusedAtTheDoorIsReadSlowly: a WebSocket handshake that fails.
func TestWhoIsRefusedAtTheDoorIsReadSlowly(t *testing.T) {
	const buffers = 32 << 20 // both kernels'
	eachWebSocket(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{CloseTimeout: 300 * time.Millisecond}, nil)
		nc, err := rawDial(url)
		must(t, err)
		defer nc.Close()
		if tr.name == "wss" {
			cfg := clientTLS().Clone()
			cfg.ServerName = "127.0.0.1"
			nc = tls.Client(nc, cfg)
		}
		write(t, nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if sent := flood(t, nc); sent > buffers {
			t.Errorf("%d bytes were sent", sent)
		}
	})
}

// TestTheEndOfWhoIsRefusedShows: what it had sent before does not hide it.
func TestTheEndOfWhoIsRefusedShows(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		r := record()
		r.onMessage = func(*session, string) error { return errTest }
		_, nc := open(t, spec{events: r, cfg: getty.Config{CloseTimeout: 100 * limit}})
		chunk := []byte(strings.Repeat("x", 1<<10-1) + "\n")
		for range 1 << 10 {
			if _, err := nc.Write(chunk); err != nil {
				break // not all of it may be read
			}
		}
		nc.Close()
		wantEnd(t, r, errTest)
	})
}

// TestWhoIsRefusedIsReadSlowlyCompressed: what is discarded there is not expanded.
func TestWhoIsRefusedIsReadSlowlyCompressed(t *testing.T) {
	const buffers = 32 << 20 // both kernels'
	eachZipStream(t, zipPlain, func(t *testing.T, tr transport, how getty.Compression) {
		r := record()
		r.onMessage = func(*session, string) error { return errTest }
		cfg := zipConfig(how)
		cfg.CloseTimeout = 300 * time.Millisecond
		nc := zipServe(t, tr, r, cfg)
		write(t, nc, "message\n")
		if sent := flood(t, nc.Conn); sent > buffers {
			t.Errorf("%d bytes were sent", sent)
		}
		wantEnd(t, r, errTest)
	})
}

// TestWhoIsClosedIsReadToTheEnd: nothing is wrong with a peer that is in the
// midst of sending when the session is closed.
func TestWhoIsClosedIsReadToTheEnd(t *testing.T) {
	const size = 4 << 20
	eachSide(t, func(t *testing.T, open opener) {
		r := record()
		r.onMessage = func(s *session, _ string) error { return s.Close() }
		ep, nc := open(t, spec{events: r, cfg: getty.Config{CloseTimeout: limit}})
		chunk := strings.Repeat("x", 1<<10-1) + "\n"
		for range size / len(chunk) {
			write(t, nc, chunk)
		}
		halfClose(t, nc)
		_, err := io.Copy(io.Discard, nc)
		must(t, err)
		nc.Close()
		wantEnd(t, r, nil)
		finish(t, ep)
		if n := ep.Stats().BytesIn; n < size {
			t.Errorf("%d bytes were read, want %d", n, size)
		}
	})
}
