// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
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

// TestWhoIsRefusedIsReadNoFurther: a peer that goes on sending after an error
// meets a full buffer. All that it sent was read, for CloseTimeout.
func TestWhoIsRefusedIsReadNoFurther(t *testing.T) {
	const most = 1 << 20
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

// TestWhoIsRefusedIsReadNoFurtherCompressed: what is discarded there is not expanded.
func TestWhoIsRefusedIsReadNoFurtherCompressed(t *testing.T) {
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
