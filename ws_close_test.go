// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/getty-net/getty"
)

// A close frame that came right behind the message that ends the session is the
// end of the closing handshake: it used to be looked at when CloseTimeout was over.
func TestCloseFrameBehindTheLastMessage(t *testing.T) {
	cfg := getty.Config{CloseTimeout: time.Hour}
	both := append(text("enough\n").bytes(true), closing(1000, "").bytes(true)...)
	for name, tt := range map[string]struct {
		end  func(s *session) error
		code int
	}{
		"an error":         {func(*session) error { return errors.New("enough") }, 1011},
		"Close":            {func(s *session) error { return s.Close() }, 1000},
		"Close and error":  {func(s *session) error { _ = s.Close(); return errors.New("enough") }, 1000},
		"Close from aside": {closeAside, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			eachWebSocket(t, func(t *testing.T, tr transport) {
				r := record()
				r.onMessage = func(s *session, _ string) error { return tt.end(s) }
				_, nc := accepted(t, tr, r, cfg, nil)
				w := nc.(*wsRaw)
				_, err := w.Conn.Write(both)
				must(t, err)
				w.said = true
				must(t, w.SetReadDeadline(time.Now().Add(limit)))
				wantFrames(t, w, failed(tt.code))
				if n, err := io.Copy(io.Discard, w.br); n != 0 || err != nil {
					t.Errorf("%d more bytes, %v", n, err)
				}
				receive(t, r.closed, "OnClose")
			})
		})
	}
}

// closeAside closes the session on another goroutine, and returns when that is done.
func closeAside(s *session) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = s.Close()
	}()
	<-done
	return err
}

// The limit is that of the message, also where frames may be a little longer
// because they could be compressed.
func TestD30UncompressedMessagesWithDeflate(t *testing.T) {
	const most = 1000
	long := make([]byte, most+50)
	for i := range long {
		long[i] = ' ' + byte(rand.IntN(200)) //nolint:gosec // any byte that ends no line
	}
	deflate := getty.WebSocketConfig{Deflate: getty.Deflate{Enabled: true}}
	eachWebSocket(t, func(t *testing.T, tr transport) {
		server, client := record(), record()
		srv := getty.Config{WebSocket: deflate, MaxMessageSize: most}
		_, url := serve(t, tr, server, srv, nil)
		s := dial(t, url, client, getty.Config{WebSocket: deflate})
		must(t, s.Send(string(long[:most-1])))
		receive(t, server.messages, "message")
		must(t, s.Send(string(long)))
		wantEnd(t, server, getty.ErrMessageTooLong)

		_, url = serve(t, tr, echo, getty.Config{WebSocket: deflate}, nil)
		small := record()
		s = dial(t, url, small, srv)
		must(t, s.Send(string(long[:most-1])))
		receive(t, small.messages, "answer")
		must(t, s.Send(string(long)))
		wantEnd(t, small, getty.ErrMessageTooLong)
	})
}

// The same in frames that getty does not send: fragments, and one frame that
// would have fitted if it were compressed.
func TestD30FragmentsWithDeflate(t *testing.T) {
	cfg := getty.Config{MaxMessageSize: 1000, WebSocket: getty.WebSocketConfig{Deflate: getty.Deflate{Enabled: true}}}
	part := string(bytes.Repeat([]byte("x"), 700))
	for name, frames := range map[string][]ruleFrame{
		"one frame": {binaryFrame(part + part[:350])},
		"fragments": {{0, 2, part}, last(part[:350])},
	} {
		t.Run(name, func(t *testing.T) {
			eachWebSocket(t, func(t *testing.T, tr transport) {
				r := record()
				_, url := serve(t, tr, r, cfg, nil)
				w := offering(t, url)
				for _, f := range frames {
					_, err := w.Conn.Write(f.bytes(true))
					must(t, err)
				}
				w.said = true
				wantFrames(t, w, failed(1009))
				wantEnd(t, r, getty.ErrMessageTooLong)
				must(t, w.Conn.Close())
			})
		})
	}
}

// offering is a raw client that has agreed on permessage-deflate.
func offering(t *testing.T, url string) *wsRaw {
	t.Helper()
	kind, addr, path := splitURL(url)
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	w := rawEnd(nc, kind, true, path).(*wsRaw)
	w.extensions = "permessage-deflate"
	must(t, w.Handshake())
	return w
}
