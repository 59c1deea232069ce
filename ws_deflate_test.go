// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// TestPreparedIsCompressedOnce: the first session of its settings compresses
// it, and the others send that frame, byte by byte, without their encoders.
// With context takeover frames are not shared, but valid.
func TestPreparedIsCompressedOnce(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		r := record()
		_, url := serve(t, tr, r, getty.Config{WebSocket: getty.WebSocketConfig{
			MessageType: getty.MessageText, Deflate: getty.Deflate{Enabled: true, ContextTakeover: true},
		}}, nil)
		line := strings.Repeat("to all of you, ", 100)
		var p *getty.Prepared
		for i, tt := range []struct {
			offer     string
			frames    int // made so far, after the sessions with this offer
			deflating int // of these sessions
		}{
			{"", 1, 0},
			{"permessage-deflate; server_no_context_takeover", 2, 1},
			{"permessage-deflate; server_no_context_takeover; server_max_window_bits=9", 3, 1},
			{"permessage-deflate", 3, 3},
		} {
			var first []byte
			deflating := 0
			for n := range 3 {
				w := peerOffering(t, url, tt.offer).(*wsRaw)
				s := receive(t, r.opened, "OnOpen")
				if p == nil {
					p, _ = s.Prepare(line)
				}
				used := s.WatchDeflate()
				must(t, s.SendPrepared(s.Context(), p))
				if used() {
					deflating++
				}
				var received bytes.Buffer
				w.br = bufio.NewReader(io.TeeReader(w.br, &received))
				f, err := w.readFrame()
				must(t, err)
				got := received.Bytes()
				if n == 0 {
					first = got
				}
				if !bytes.Equal(got, first) {
					t.Errorf("offer %d: session %d got %.40q, the first %.40q", i, n, got, first)
				}
				if compressed := f.bits&rsv1 != 0; compressed != (tt.offer != "") || compressed != (len(got) < len(line)) {
					t.Errorf("offer %d: session %d got %d bytes with bits %#x", i, n, len(got), f.bits)
				}
			}
			if got := p.Frames(); got != tt.frames || deflating != tt.deflating {
				t.Errorf("offer %d: %d frames were made so far and %d sessions compressed, want %d and %d", i, got, deflating, tt.frames, tt.deflating)
			}
		}
	})
}

// packed is permessage-deflate by the standard library.
func packed(t *testing.T, w *flate.Writer, buf *bytes.Buffer, message string) string {
	t.Helper()
	buf.Reset()
	_, err := io.WriteString(w, message)
	must(t, err)
	must(t, w.Flush())
	return strings.TrimSuffix(buf.String(), "\x00\x00\xff\xff")
}

// TestDeflateEcho speaks permessage-deflate with the standard library's
// encoder and decoder, which know nothing of getty's.
func TestDeflateEcho(t *testing.T) {
	for _, takeover := range []bool{false, true} {
		for _, bits := range []int{8, 9, 12, 15} {
			t.Run(fmt.Sprintf("takeover %v/%d", takeover, bits), func(t *testing.T) {
				cfg := ruleConfig
				cfg.MaxMessageSize = 1 << 20
				cfg.WebSocket.Deflate = getty.Deflate{Enabled: true, ContextTakeover: takeover, WindowBits: bits}
				eachEcho(t, cfg, func(t *testing.T, nc net.Conn, client bool) {
					w := nc.(*wsRaw)
					level := 9
					if !client && bits < 15 {
						level = flate.HuffmanOnly // a client of getty's limits both windows
					}
					deflateEcho(t, w, takeover, level, bits)
					must(t, w.Close())
				})
			})
		}
	}
}

func deflateEcho(t *testing.T, nc *wsRaw, takeover bool, level, bits int) {
	if nc.extensions == "" {
		t.Fatal("no compression is agreed on")
	}
	var in, out bytes.Buffer
	w, _ := flate.NewWriter(&out, level)
	r := flate.NewReader(&in)
	for i := range 60 {
		repeat := 1 + i*i/8
		switch {
		case i%10 == 9:
			repeat = 0
		case i == 52:
			repeat = 128 << 10 / 20 // more than any window
		}
		message := strings.Repeat(fmt.Sprintf("message %d of many, ", i%7), repeat)
		if !takeover {
			w.Reset(&out)
		}
		frame := ruleFrame{fin | rsv1, byte(1 + i%2), packed(t, w, &out, message)}
		sent := frame.bytes(nc.client)
		if i%3 == 0 && len(frame.payload) > 3 { // in fragments, the first of them marked
			first := ruleFrame{rsv1, frame.op, frame.payload[:2]}
			sent = append(first.bytes(nc.client), last(frame.payload[2:]).bytes(nc.client)...)
		}
		_, err := nc.Conn.Write(sent)
		must(t, err)
		answer, err := nc.readFrame()
		must(t, err)
		compressed, got := answer.bits&rsv1 != 0, answer.payload
		if compressed {
			wantWindow(t, answer.payload, bits)
			got = unpacked(t, r, &in, answer.payload, takeover, len(message))
		}
		if answer.op != frame.op || got != message {
			t.Fatalf("message %d of %d bytes came back as %d bytes %.40q of opcode %d", i, len(message), len(got), got, answer.op)
		}
		if i > 20 && i%10 != 9 && (!compressed || len(answer.payload) > len(message)/3) {
			t.Errorf("a message of %d bytes took %d, compressed: %v", len(message), len(answer.payload), compressed)
		}
	}
}

// unpacked is what packed was made of. With takeover its size must be known.
func unpacked(t *testing.T, r io.Reader, in *bytes.Buffer, payload string, takeover bool, size int) string {
	t.Helper()
	in.WriteString(payload + "\x00\x00\xff\xff")
	if takeover {
		b := make([]byte, size)
		_, err := io.ReadFull(r, b)
		must(t, err)
		return string(b)
	}
	in.WriteString("\x01\x00\x00\xff\xff")
	must(t, r.(flate.Resetter).Reset(in, nil))
	b, err := io.ReadAll(r)
	must(t, err)
	return string(b)
}

// TestD43WebSocketBombsEndTheSession: the limit holds for what messages expand to.
func TestD43WebSocketBombsEndTheSession(t *testing.T) {
	cfg := ruleConfig
	cfg.MaxMessageSize = 1 << 20
	cfg.WebSocket.Deflate.Enabled = true
	bomb := ruleFrame{fin | rsv1, 2, strings.TrimSuffix(string(zipBomb(t, getty.CompressFlate.Raw())), "\x00\x00\xff\xff")}
	eachEcho(t, cfg, func(t *testing.T, nc net.Conn, client bool) {
		w := nc.(*wsRaw)
		before := zipAllocated()
		_, err := w.Conn.Write(bomb.bytes(client))
		must(t, err)
		w.said = true
		wantFrames(t, w, failed(1009))
		if got := zipAllocated() - before; got > 16<<20 { // as in TestD43ABombIsNoLargerThanTheLimit
			t.Errorf("%d KiB became %d KiB of memory", len(bomb.payload)>>10, got>>10)
		}
		must(t, w.Conn.Close())
	})
}

// A message that swells is measured first: nothing is made in vain of one that is
// too long, even if it begins harmlessly. What is corrupt behind the limit is not
// looked at.
func TestMessagesThatSwellAreNotMade(t *testing.T) {
	var text bytes.Buffer
	w, _ := flate.NewWriter(&text, flate.BestSpeed)
	bomb := packed(t, w, &text, strings.Repeat("this is repeated a little\n", 8)) + "\x00\x00\xff\xff" +
		string(zipBomb(t, getty.CompressFlate.Raw())) + "\x07"
	for _, limit := range []int{8 << 20, 32 << 20} {
		runtime.GC()
		before := zipAllocated()
		_, err := getty.InflateMessage(nil, []byte(bomb), limit, 0)
		if !errors.Is(err, getty.ErrMessageTooLong) {
			t.Errorf("limit %d: %v", limit, err)
		}
		if got := zipAllocated() - before; got > 2<<20 { // the decoder's, and what a message of that size may need in any case
			t.Errorf("limit %d: a message that is too long took %d KiB", limit, got>>10)
		}
	}
}

// A message may have several streams, one behind the other, that refer to what is
// before them; what is behind the last one is not DEFLATE.
func TestStreamsInOneMessage(t *testing.T) {
	const hello = "\xf3\x48\xcd\xc9\xc9\x07\x00" // RFC 7692, section 7.2.3.4
	again := func(n int) string { return strings.Repeat("Hello", n) }
	var dict bytes.Buffer
	w, err := flate.NewWriterDict(&dict, flate.BestCompression, []byte("Hello, youHello"))
	must(t, err)
	_, _ = io.WriteString(w, "Hello, you, Hello, you")
	must(t, w.Close())
	for _, tt := range []struct {
		name, past, data, want string
		err                    error
	}{
		{"one", "", hello + "\x00", "Hello", nil},
		{"one, unfinished", "", hello, "Hello", nil},
		{"two", "", hello + hello + "\x00", again(2), nil},
		{"sixteen", "", strings.Repeat(hello, 16) + "\x00", again(16), nil},
		{"with history", "Hello, you", hello + dict.String() + "\x00", "HelloHello, you, Hello, you", nil},
		{"garbage behind", "", hello + "garbage, and enough of it", "", getty.ErrProtocol},
		{"too many", "", strings.Repeat(hello, 2000) + "\x00", "", getty.ErrProtocol},
	} {
		got, err := getty.InflateMessage([]byte(tt.past), []byte(tt.data), 1<<20, 0)
		if !errors.Is(err, tt.err) || string(got) != tt.want {
			t.Errorf("%s: %q, %v, want %q, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// One that is not too long arrives, whether it refers to messages before it or not.
func TestMessagesThatSwellArrive(t *testing.T) {
	past := []byte(strings.Repeat("what was said before. ", 100))
	for name, message := range map[string]string{
		"zeros":   strings.Repeat("0", 3<<20),
		"history": strings.Repeat(string(past), 1<<10),
	} {
		for _, before := range [][]byte{nil, past} {
			var out bytes.Buffer
			w, err := flate.NewWriterDict(&out, flate.BestCompression, before)
			must(t, err)
			data := []byte(packed(t, w, &out, message))
			for _, limit := range []int{len(message), len(message) + 1, 64 << 20} {
				got, err := getty.InflateMessage(before, data, limit, 0)
				if err != nil || string(got) != message {
					t.Errorf("%s behind %d bytes, up to %d: %d bytes of %d, %v", name, len(before), limit, len(got), len(message), err)
				}
			}
			if _, err := getty.InflateMessage(before, data, len(message)-1, 0); !errors.Is(err, getty.ErrMessageTooLong) {
				t.Errorf("%s behind %d bytes, one byte too long: %v", name, len(before), err)
			}
		}
	}
}

// TestDeflateAnswers: a client takes no answer that it has not offered.
func TestDeflateAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		deflate getty.Deflate
		answer  string
		want    string // of the error; "": none
	}{
		"not offered":           {getty.Deflate{}, "permessage-deflate", "not offered"},
		"another":               {getty.Deflate{Enabled: true}, "x-other", "not offered"},
		"twice":                 {getty.Deflate{Enabled: true}, "permessage-deflate, permessage-deflate", "not offered"},
		"declined":              {getty.Deflate{Enabled: true}, "", ""},
		"as offered":            {getty.Deflate{Enabled: true, WindowBits: 10}, asOffered, ""},
		"takeover not offered":  {getty.Deflate{Enabled: true}, "permessage-deflate", "not those offered"},
		"takeover":              {getty.Deflate{Enabled: true, ContextTakeover: true}, "permessage-deflate", ""},
		"without takeover":      {getty.Deflate{Enabled: true, ContextTakeover: true}, "permessage-deflate; server_no_context_takeover; client_no_context_takeover", ""},
		"smaller windows":       {getty.Deflate{Enabled: true, ContextTakeover: true}, "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8", ""},
		"a larger window":       {getty.Deflate{Enabled: true, ContextTakeover: true, WindowBits: 10}, "permessage-deflate; server_max_window_bits=11", "not those offered"},
		"no limit of a window":  {getty.Deflate{Enabled: true, ContextTakeover: true, WindowBits: 10}, "permessage-deflate", "not those offered"},
		"a client's form":       {getty.Deflate{Enabled: true, ContextTakeover: true}, "permessage-deflate; client_max_window_bits", "not those offered"},
		"an unknown parameter":  {getty.Deflate{Enabled: true, ContextTakeover: true}, "permessage-deflate; what", "not those offered"},
		"a window out of range": {getty.Deflate{Enabled: true, ContextTakeover: true}, "permessage-deflate; server_max_window_bits=16", "not those offered"},
	} {
		t.Run(name, func(t *testing.T) {
			eachWebSocket(t, func(t *testing.T, tr transport) {
				url, accept := listenRaw(t, tr)
				dialed := make(chan error, 1)
				go func() {
					s, err := getty.Dial(within(t), url, codec.Line{}, record(), getty.Config{TLS: clientTLS(), WebSocket: getty.WebSocketConfig{Deflate: tt.deflate}})
					if err == nil {
						if got := s.Upgrade().Compressed; got != (tt.answer != "") {
							t.Errorf("compressed: %v", got)
						}
						err = s.Close()
					}
					dialed <- err
				}()
				w := accept().(*wsRaw)
				w.extensions = tt.answer
				must(t, w.Handshake())
				_, _ = io.ReadAll(w)
				must(t, w.Conn.Close())
				var ue *getty.UpgradeError
				err := receive(t, dialed, "end of Dial")
				switch {
				case tt.want == "":
					must(t, err)
				case !errors.As(err, &ue) || !strings.Contains(ue.Problem, tt.want):
					t.Errorf("the error is %v, want %q", err, tt.want)
				}
			})
		})
	}
}
