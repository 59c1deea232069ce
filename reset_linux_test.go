// SPDX-License-Identifier: Apache-2.0

//go:build !getty_portable

package getty_test

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/getty-net/getty"
)

// TestResetIsNoEOF: the kernel tells of a reset once. If that is the writer, the
// reader sees the end of the stream, as if the peer had closed: a Reconnect that
// stops on io.EOF did not come back then. The portable path cannot ask a socket
// whether it is broken.
func TestResetIsNoEOF(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		if strings.Contains(t.Name(), "/unix/") {
			t.Skip("it tells both")
		}
		for range 20 {
			r := record()
			ep, nc := open(t, spec{events: r, cfg: getty.Config{WriteTimeout: limit, HighWatermark: 4 << 20}})
			s := receive(t, r.opened, "OnOpen")
			for range 4 { // until the kernel takes no more, and the writer waits
				must(t, s.Send(strings.Repeat("x", 1<<20-1)))
			}
			tc := socketOf(nc)
			must(t, tc.SetLinger(0))
			must(t, tc.Close())
			// If it is the reader who is told, the writer learns that the pipe is broken.
			cause := receive(t, r.closed, "OnClose")
			if !errors.Is(cause, syscall.ECONNRESET) && !errors.Is(cause, syscall.EPIPE) {
				t.Fatalf("the cause is %v", cause)
			}
			finish(t, ep)
		}
	})
}

// socketOf is the socket of a raw peer.
func socketOf(nc net.Conn) *net.TCPConn {
	if tc, ok := below(nc).(*tls.Conn); ok {
		return tc.NetConn().(*net.TCPConn)
	}
	return below(nc).(*net.TCPConn)
}
