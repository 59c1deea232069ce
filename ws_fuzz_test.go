// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

// fuzzedSocket is a webSocket without a conn: its session is not open, so what
// it would send is left out.
func fuzzedSocket(client, compressed bool, limit int) *webSocket {
	ep := new(endpoint)
	if err := ep.init(Config{MaxMessageSize: limit}, "Config"); err != nil {
		panic(err)
	}
	w := newWebSocket(&core{ep: ep, lim: ep.lim}, client)
	if compressed {
		w.deflate = &deflate{bitsOut: maxWindowBits, bitsIn: maxWindowBits}
	}
	return w
}

// takeFrames hands data to w in steps, and returns the messages and the error.
func takeFrames(t *testing.T, w *webSocket, data []byte, step int) (messages []string, err error) {
	defer w.drop()
	var window []byte
	data = bytes.Clone(data) // it is unmasked in place
	for len(data) > 0 {
		n := min(step, len(data))
		window = append(window, data[:n]...)
		data = data[n:]
		for {
			unit, used, ok, err := w.next(window)
			if used < 0 || used > len(window) {
				t.Fatalf("next used %d bytes of %d", used, len(window))
			}
			if ok {
				if len(unit) > w.c.lim.maxMessage {
					t.Fatalf("a message of %d bytes is over the limit", len(unit))
				}
				if w.op == opText && !utf8.Valid(unit) {
					t.Fatalf("text %q", unit)
				}
				messages = append(messages, string(unit))
			}
			window = window[used:]
			if err != nil {
				return messages, err
			}
			if used == 0 {
				break
			}
		}
	}
	return messages, nil
}

// FuzzWebSocketFrames: whatever comes, and in whatever pieces, gives the same
// messages and the same end.
func FuzzWebSocketFrames(f *testing.F) {
	f.Add([]byte("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), false, false, uint8(1)) // RFC 6455, section 5.7
	f.Add([]byte("\x81\x05\x48\x65\x6c\x6c\x6f"), true, false, uint8(3))
	f.Add([]byte("\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f"), true, false, uint8(2))
	f.Add([]byte("\x89\x05Hello\x8a\x00\x88\x02\x03\xe8"), true, false, uint8(1))
	f.Add([]byte("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), true, true, uint8(4)) // RFC 7692, section 7.2.3.1
	f.Add([]byte("\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00"), true, true, uint8(1))
	f.Add([]byte("\x82\x7e\x01\x00"+strings.Repeat("x", 256)), true, false, uint8(100))
	f.Add([]byte("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), true, false, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, client, compressed bool, step uint8) {
		const limit = 1000
		whole, end := takeFrames(t, fuzzedSocket(client, compressed, limit), data, max(len(data), 1))
		pieces, pend := takeFrames(t, fuzzedSocket(client, compressed, limit), data, int(step)+1)
		if strings.Join(whole, "|") != strings.Join(pieces, "|") || len(whole) != len(pieces) {
			t.Fatalf("at once %q, in pieces %q", whole, pieces)
		}
		kinds := func(err error) (k [4]bool) {
			for i, e := range []error{ErrProtocol, ErrInvalidUTF8, ErrMessageTooLong} {
				k[i] = errors.Is(err, e)
			}
			k[3] = errors.As(err, new(*CloseError))
			return k
		}
		// In pieces it is noticed no later: an end may have been announced before
		// the rest that is wrong in another way has arrived.
		if (end == nil) != (pend == nil) || (kinds(end) != kinds(pend) && !errors.Is(pend, ErrInvalidUTF8) && !errors.Is(end, ErrInvalidUTF8)) {
			t.Fatalf("at once it ends with %v, in pieces with %v", end, pend)
		}
	})
}

// FuzzWebSocketWrite: what is sent is what a peer reads.
func FuzzWebSocketWrite(f *testing.F) {
	f.Add([]byte("hello"), false, false)
	f.Add([]byte(strings.Repeat("x", 200)), true, false)
	f.Add([]byte(strings.Repeat("xyz", 300)), false, true)
	f.Add([]byte{}, true, true)
	f.Fuzz(func(t *testing.T, message []byte, client, compressed bool) {
		if len(message) > 1<<20 {
			return
		}
		w, r := fuzzedSocket(client, compressed, 1<<20), fuzzedSocket(!client, compressed, 1<<20)
		wire := []byte("before")
		for range 2 { // with the room for the header that the first one needed
			start := len(wire)
			b, err := w.end(append(w.begin(wire), message...), start)
			if err != nil {
				t.Fatal(err)
			}
			wire = b
		}
		got, err := takeFrames(t, r, wire[len("before"):], len(wire))
		if err != nil || len(got) != 2 || got[0] != string(message) || got[1] != got[0] {
			t.Fatalf("%d messages, error %v", len(got), err)
		}
	})
}

// FuzzUpgrade: a request is agreed on only if it is one.
func FuzzUpgrade(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n")
	f.Add("GET / HTTP/1.1\r\n\r\n")
	f.Fuzz(func(t *testing.T, head string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
		if err != nil {
			return
		}
		w := fuzzedSocket(false, false, 1000)
		w.c.ep.cfg.WebSocket.Deflate = Deflate{Enabled: true, ContextTakeover: true, WindowBits: 12}
		answer, refusal := w.agree(r)
		if (answer == nil) == (refusal == nil) {
			t.Fatal("neither agreed nor refused")
		}
		if refusal != nil {
			return
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), r)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || r.Method != http.MethodGet {
			t.Fatalf("the answer is %q: %v", answer, err)
		}
		if d := w.deflate; d != nil && (d.bitsOut < 8 || d.bitsOut > 12 || d.bitsIn < 8 || d.bitsIn > 15) {
			t.Fatalf("windows of %d and %d bits", d.bitsOut, d.bitsIn)
		}
		// A client that offered the same takes it.
		if _, ok := resp.Header["Sec-Websocket-Extensions"]; ok {
			if _, ok := parseDeflate(extensions(resp.Header)[0][1:], true); !ok {
				t.Fatalf("the answer's extension is %q", resp.Header.Get("Sec-Websocket-Extensions"))
			}
		}
	})
}
