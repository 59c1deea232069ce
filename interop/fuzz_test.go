// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/gorilla/websocket"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// The frame parser is fuzzed beside two others: from the same bytes all must
// read the same messages and pings, up to the same end.

// reading is what was read of a stream of frames.
type reading struct {
	messages []string // behind "t" or "b" for their types
	pings    []string
	code     int // of the close frame that ended it; 0: an error did
	reason   string
	err      error
	badText  bool // the error is text that is not UTF-8
}

func (r *reading) add(text bool, data []byte) {
	kind := "b"
	if text {
		kind = "t"
	}
	r.messages = append(r.messages, kind+string(data))
}

const fuzzLimit = 96 << 10 // of a message

// readByGetty has an echo read what a peer has sent, as a server or a client.
func readByGetty(t *testing.T, data []byte, step int, client, deflate bool) (r reading) {
	t.Helper()
	ended := make(chan error, 1)
	events := getty.EventFuncs[[]byte]{
		Message: func(s *getty.Session[[]byte], m []byte) error { return s.Send(m) },
		Close:   func(_ *getty.Session[[]byte], cause error) { ended <- cause },
	}
	cfg := getty.Config{
		MaxMessageSize: fuzzLimit, HighWatermark: 1 << 30,
		WebSocket: getty.WebSocketConfig{MessageType: getty.MessageLast, Deflate: getty.Deflate{Enabled: deflate}},
	}
	conn := &tape{step: step, rest: data}
	if client {
		conn.answer = switching
		// The one session may end before Connect has seen it; Reconnect keeps it one.
		c, err := getty.NewClient("ws://localhost:1/", codec.Raw{}, events, getty.ClientConfig{
			Config: cfg, Dial: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		})
		must(t, err)
		c.Reconnect = func(*getty.Session[[]byte], error) bool { return false }
		defer func() { must(t, c.Shutdown(context.Background())) }()
		_ = c.Connect(context.Background())
	} else {
		srv, err := getty.NewServer(codec.Raw{}, events, cfg)
		must(t, err)
		defer func() { must(t, srv.Shutdown(context.Background())) }()
		if status := upgrade(srv, conn, deflate); status != http.StatusOK { // as nothing was written to the recorder
			t.Fatalf("the handshake ends with %d", status)
		}
	}
	r.err = receive(t, ended, "end of the session")
	var ce *getty.CloseError
	if errors.As(r.err, &ce) {
		r.code, r.reason = ce.Code, ce.Reason
	}
	r.badText = errors.Is(r.err, getty.ErrInvalidUTF8)
	checkWritten(t, conn.written(), client, &r)
	return r
}

// checkWritten reads what getty has answered, which has to be correct whatever
// it has read: the messages, pongs, and one close frame at the end.
func checkWritten(t *testing.T, b []byte, client bool, r *reading) {
	t.Helper()
	in, state := bytes.NewReader(b), ws.StateClientSide
	if client {
		state = ws.StateServerSide
	}
	for in.Len() > 0 {
		h, err := ws.ReadHeader(in)
		must(t, err)
		payload := make([]byte, min(h.Length, int64(in.Len()+1)))
		_, err = io.ReadFull(in, payload)
		must(t, err)
		compressed := h.Rsv == 4
		if compressed {
			h.Rsv = 0
		}
		must(t, ws.CheckHeader(h, state))
		if h.Masked {
			ws.Cipher(payload, h.Mask, 0)
		}
		if compressed {
			z := flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
			payload, err = io.ReadAll(z)
			must(t, err)
		}
		switch h.OpCode {
		case ws.OpPong:
			r.pings = append(r.pings, string(payload))
		case ws.OpClose:
			if in.Len() > 0 {
				t.Fatalf("%d bytes behind the close frame", in.Len())
			}
			if r.code != 0 && len(payload) > 0 {
				code, reason := ws.ParseCloseFrameData(payload)
				if int(code) != r.code || reason != r.reason {
					t.Errorf("the answer to a close frame with %d %q has %d %q", r.code, r.reason, code, reason)
				}
			}
		default:
			r.add(h.OpCode == ws.OpText, payload)
		}
	}
}

// readByGorilla leaves out its check of the size: getty's looks at what is
// announced, and nothing that is fuzzed is as long.
func readByGorilla(t *testing.T, data []byte, step int, client, deflate bool) (r reading) {
	t.Helper()
	conn := &tape{step: step, rest: data}
	var c *websocket.Conn
	if client {
		conn.answer = switching
		var err error
		d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return conn, nil }}
		c, _, err = d.Dial("ws://localhost/", nil)
		must(t, err)
	} else {
		u := websocket.Upgrader{EnableCompression: deflate}
		upgrade(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			var err error
			c, err = u.Upgrade(w, req, nil)
			must(t, err)
		}), conn, deflate)
	}
	c.SetPingHandler(func(data string) error { r.pings = append(r.pings, data); return nil })
	for {
		kind, m, err := c.NextReader()
		var data []byte
		if err == nil {
			data, err = io.ReadAll(io.LimitReader(m, fuzzLimit+1))
		}
		text := kind == websocket.TextMessage
		switch {
		case err == nil && len(data) > fuzzLimit:
			r.err = errors.New("too long")
			return r
		// gorilla leaves UTF-8 to its user. Others see at once that a fragment
		// is wrong, before they see the end that gorilla has seen behind it.
		case text && !validSoFar(data, err == nil):
			r.badText, r.err = true, errors.New("not UTF-8")
			return r
		case err != nil:
			r.err = err
			var ce *websocket.CloseError
			if errors.As(err, &ce) && ce.Code != websocket.CloseAbnormalClosure { // which is its EOF
				r.code, r.reason = ce.Code, ce.Text
			}
			return r
		}
		r.add(text, data)
	}
}

// validSoFar reports whether text is valid, or can become so unless it is whole.
func validSoFar(text []byte, whole bool) bool {
	for len(text) > 0 {
		c, n := utf8.DecodeRune(text)
		if c == utf8.RuneError && n == 1 {
			return !whole && !utf8.FullRune(text)
		}
		text = text[n:]
	}
	return true
}

func readByGobwas(data []byte, client bool) (r reading) {
	data = beforeLongControl(data)
	rd := wsutil.Reader{Source: bytes.NewReader(data), State: ws.StateServerSide, CheckUTF8: true}
	if client {
		rd.State = ws.StateClientSide
	}
	control := func(h ws.Header, in io.Reader) error {
		p, err := io.ReadAll(in)
		switch {
		case err != nil:
			return err
		case len(p) < int(h.Length):
			return io.ErrUnexpectedEOF
		case h.OpCode == ws.OpPing:
			r.pings = append(r.pings, string(p))
		case h.OpCode == ws.OpClose && len(p) == 0:
			return wsutil.ClosedError{Code: ws.StatusNoStatusRcvd}
		case h.OpCode == ws.OpClose:
			code, reason := ws.ParseCloseFrameData(p)
			if err := ws.CheckCloseFrameData(code, reason); err != nil {
				return err
			}
			return wsutil.ClosedError{Code: code, Reason: reason}
		}
		return nil
	}
	rd.OnIntermediate = control
	for {
		h, err := rd.NextFrame()
		if err == nil && h.OpCode.IsControl() {
			if err = control(h, &rd); err == nil {
				continue
			}
		}
		var data []byte
		if err == nil {
			data, err = io.ReadAll(&rd)
		}
		if err == nil {
			r.add(h.OpCode == ws.OpText, data)
			continue
		}
		var ce wsutil.ClosedError
		if errors.As(err, &ce) {
			r.code, r.reason = int(ce.Code), ce.Reason
		}
		// Like gorilla it may have read on behind a wrong fragment: it looks at
		// the end of a message only.
		if h.OpCode == ws.OpText && !validSoFar(data, false) {
			r.code, r.reason, r.badText = 0, "", true
		}
		r.err, r.badText = err, r.badText || errors.Is(err, wsutil.ErrInvalidUTF8)
		return r
	}
}

// beforeLongControl cuts data off before the first control frame whose length is
// not in its second byte. RFC 6455, section 5.2, wants the shortest form, and
// for control frames getty and gorilla insist on it; gobwas does not.
func beforeLongControl(data []byte) []byte {
	in := bytes.NewReader(data)
	for {
		at := len(data) - in.Len()
		h, err := ws.ReadHeader(in)
		if err != nil || h.Length > int64(in.Len()) {
			return data
		}
		if h.OpCode.IsControl() && data[at+1]&0x7F > 125 {
			return data[:at]
		}
		_, _ = in.Seek(h.Length, io.SeekCurrent)
	}
}

// compare wants two readings to be the same. lenient are the close codes that
// one of them refuses and the other does not.
func compare(t *testing.T, got, want reading, lenient func(code int) bool) {
	t.Helper()
	if !slices.Equal(got.messages, want.messages) {
		t.Errorf("getty reads %d messages %.200q and ends with %v; the other reads %d messages %.200q and ends with %v",
			len(got.messages), got.messages, got.err, len(want.messages), want.messages, want.err)
	}
	if got.badText || want.badText {
		// How soon wrong text is noticed is not said: pings may come before.
		n := min(len(got.pings), len(want.pings))
		got.pings, want.pings = got.pings[:n], want.pings[:n]
	}
	if !slices.Equal(got.pings, want.pings) {
		t.Errorf("getty reads the pings %.200q, the other %.200q", got.pings, want.pings)
	}
	if (got.code == 0 || want.code == 0) && lenient(max(got.code, want.code)) {
		return
	}
	if got.code != want.code || got.reason != want.reason {
		t.Errorf("getty ends with %d %q, %v; the other with %d %q, %v",
			got.code, got.reason, got.err, want.code, want.reason, want.err)
	}
}

// frames puts frames together: each begins with the first byte as it is on the
// wire. A client's are masked, with a key that changes nothing or one that does.
func frames(client bool, list ...string) (b []byte) {
	for i, f := range list {
		n, bit := len(f)-1, byte(0)
		if client {
			bit = 0x80
		}
		b = append(b, f[0])
		switch {
		case n < 126:
			b = append(b, bit|byte(n))
		case n < 1<<16:
			b = binary.BigEndian.AppendUint16(append(b, bit|126), uint16(n))
		default:
			b = binary.BigEndian.AppendUint64(append(b, bit|127), uint64(n))
		}
		payload := []byte(f[1:])
		if client {
			key := [4]byte{}
			if i%2 == 1 {
				key = [4]byte{0x12, 0xF3, 0x56, 0x9A}
			}
			b = append(b, key[:]...)
			ws.Cipher(payload, key, 0)
		}
		b = append(b, payload...)
	}
	return b
}

// seeds are frames from both sides, right and wrong.
func seeds(f *testing.F) {
	for _, list := range [][]string{
		{"\x81hello", "\x82\xff\x00", "\x88\x03\xe8bye"},
		{"\x01gr\xc3", "\x89ping", "\x80\xbc\xc3\x9fe", "\x8apong", "\x88"},
		{"\x02", "\x00", "\x80", "\x81", "\x82" + strings.Repeat("x", 70_000)},
		{"\x82" + strings.Repeat("x", 300), "\x88\x0f\xa0" + strings.Repeat("r", 123)},
		{"\x81\xf0\x9f\x8e\x88", "\x81\xed\xa0\x80"},
		{"\x01\xff", "\x89late", "\x88\x03\xe8"},
		{"\x81a", "\x80b"},
		{"\x01a", "\x81b"},
		{"\xc1a"},
		{"\x83a"},
		{"\x09a"},
		{"\x88\x03"},
		{"\x88\x03\xed"},
		{"\x88\x03\xf6"},
		{"\x88\x13\x88"},
		{"\x88\x03\xe8\xff"},
		{"\x89" + strings.Repeat("p", 126)},
		{"\x01\xe4", "\x80\xb8"},
	} {
		for _, client := range []bool{false, true} {
			b := frames(!client, list...)
			f.Add(b, uint16(0), client)
			f.Add(b, uint16(1), client)
			f.Add(b[:len(b)-1], uint16(7), client)
			f.Add(b, uint16(3), !client) // masked where it must not be, and the reverse
		}
	}
	f.Add([]byte("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"), uint16(0), false)
}

func stepOf(step uint16) int {
	if step == 0 {
		return 1 << 20
	}
	return int(step)
}

// What gorilla 1.5.3 does otherwise: it does not know the code 1014, which was
// registered later, and takes a close frame of one byte for an empty one.
func FuzzFramesAgainstGorilla(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte, step uint16, client bool) {
		if len(data) > fuzzLimit {
			t.Skip()
		}
		got := readByGetty(t, bytes.Clone(data), stepOf(step), client, false)
		want := readByGorilla(t, bytes.Clone(data), stepOf(step), client, false)
		compare(t, got, want, func(code int) bool { return code == 1014 || code == getty.CloseNoStatus })
	})
}

// What gobwas/ws 1.5.0 does otherwise: it refuses the codes 1012 to 1014, which
// were registered later, accepts those from 5000 on, and takes the length of a
// control frame in any form.
func FuzzFramesAgainstGobwas(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte, step uint16, client bool) {
		if len(data) > fuzzLimit {
			t.Skip()
		}
		got := readByGetty(t, bytes.Clone(data), stepOf(step), client, false)
		compare(t, got, readByGobwas(bytes.Clone(data), client), func(code int) bool {
			return (code >= 1012 && code <= 1014) || code >= 5000
		})
	})
}

// severalStreams reports whether something is behind the end of the first stream
// of a compressed message, of which gorilla takes no more.
func severalStreams(message []byte) bool {
	const tail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
	r := bytes.NewReader(append(bytes.Clone(message), tail...))
	_, err := io.Copy(io.Discard, flate.NewReader(r))
	return err == nil && r.Len() > len(tail)
}

// FuzzDeflateAgainstGorilla takes the bytes for a compressed message. gorilla
// expands with the standard library's flate, getty with another.
func FuzzDeflateAgainstGorilla(f *testing.F) {
	for _, text := range []string{"", "hello", strings.Repeat("hello ", 1000), strings.Repeat("\x00", 100_000)} {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestCompression)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err = errors.Join(err, w.Flush()); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
		f.Add(bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff")))
	}
	f.Add([]byte{})
	f.Add([]byte("\x01\x00\x00\xff\xff")) // ends for good
	f.Add([]byte("\x00\x05\x00\xfa\xffhello\x03\x00\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzLimit || severalStreams(data) {
			t.Skip()
		}
		stream := frames(true, "\xc2"+string(data), "\x82behind it", "\x88\x03\xe8")
		got := readByGetty(t, bytes.Clone(stream), 1<<20, false, true)
		want := readByGorilla(t, stream, 1<<20, false, true)
		compare(t, got, want, func(int) bool { return false })
	})
}
