// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// Beside ServeHTTP the router's other handlers go on, while a session is open
// and after requests that were refused; and http.Server.Close, which knows
// nothing of hijacked conns, leaves sessions alone.
func TestMountedBesideOthers(t *testing.T) {
	s := newSide()
	srv, err := getty.NewServer(codec.Raw{}, s.events(), setting{}.config())
	must(t, err)
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	h := mount(t, srv, false)
	get := func(path string) (status int, body string, header http.Header) {
		t.Helper()
		resp, err := h.Client().Get(h.URL + path)
		must(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, string(b), resp.Header
	}

	c := gorilla{}.dial(t, "ws"+strings.TrimPrefix(h.URL, "http")+path, setting{})
	c.next(t, "open")
	ss := receive(t, s.opened, "session")
	if up := ss.Upgrade(); up.Request == nil || up.Request.URL.Path != path {
		t.Errorf("the request was %+v", up.Request)
	}
	if status, body, header := get("/health"); status != 200 || body != "fine" || header.Get("X-Middleware") != "seen" {
		t.Errorf("/health: %d %q %v", status, body, header)
	}
	if status, _, header := get(path); status != http.StatusUpgradeRequired || header.Get("Sec-WebSocket-Version") != "13" {
		t.Errorf("a plain request: %d %v", status, header)
	}
	if status, _, _ := get("/nowhere"); status != http.StatusNotFound {
		t.Errorf("/nowhere: %d", status)
	}
	_, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.URL, "http")+path, http.Header{"Origin": {"https://example.com"}})
	if !errors.Is(err, websocket.ErrBadHandshake) || resp.StatusCode != http.StatusForbidden {
		t.Errorf("another origin: %v", err)
	}
	h.Close()
	c.tell(t, command{Do: "send", Text: true, Parts: [][]byte{[]byte("still here")}})
	if e := c.next(t, "message"); string(e.Data) != "still here" {
		t.Errorf("%q came back", e.Data)
	}
	must(t, srv.Shutdown(within(t)))
	if e := c.next(t, "close"); e.Code != getty.CloseServiceRestart {
		t.Errorf("the peer says %d %q", e.Code, e.Reason)
	}
	is(getty.ErrShutdown)(t, receive(t, s.closed, "end of the session"))
}

// A middleware that hides the conn makes an error, not a hang.
func TestMountedWithoutHijack(t *testing.T) {
	srv, err := getty.NewServer(codec.Raw{}, newSide().events(), getty.Config{})
	must(t, err)
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		srv.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	}))
	t.Cleanup(h.Close)
	_, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.URL, "http"), nil)
	if !errors.Is(err, websocket.ErrBadHandshake) || resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("%v, %+v", err, resp)
	}
}

// Peers whose deflate is frugal with memory, such as Python's websockets, could
// not send messages of the longest size that do not compress: those grow by more
// than was allowed for. Rule: the limit is that of the message as it was.
func TestDeflateMayGrow(t *testing.T) {
	message := noise[:fuzzLimit]
	var packed bytes.Buffer
	for rest := message; len(rest) > 0; { // a block as it is has five bytes in front
		n := min(len(rest), 100)
		packed.WriteByte(0)
		packed.Write(binary.LittleEndian.AppendUint16(nil, uint16(n)))
		packed.Write(binary.LittleEndian.AppendUint16(nil, ^uint16(n)))
		packed.Write(rest[:n])
		rest = rest[n:]
	}
	packed.WriteByte(0) // of the block whose rest RFC 7692 leaves out
	stream := frames(true, "\xc2"+packed.String(), "\x88\x03\xe8")
	got := readByGetty(t, stream, 1<<20, false, true)
	if len(got.messages) != 1 || got.messages[0] != "b"+string(message) || got.code != getty.CloseNormal {
		t.Errorf("%d messages, and the end is %v", len(got.messages), got.err)
	}
}
