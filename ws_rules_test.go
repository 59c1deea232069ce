// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// The rules of RFC 6455, section by section as the Autobahn test suite numbers
// them, as bytes on the wire against an echo, getty being the server and the
// client, over ws and wss.

// ruleFrame is a frame that a test sends, or one that it wants back.
type ruleFrame struct {
	bits    byte // FIN and RSV, as in the first byte
	op      byte
	payload string
}

const (
	fin  = 0x80
	rsv1 = 0x40
)

func text(s string) ruleFrame        { return ruleFrame{fin, 1, s} }
func binaryFrame(s string) ruleFrame { return ruleFrame{fin, 2, s} }
func ping(s string) ruleFrame        { return ruleFrame{fin, 9, s} }
func pong(s string) ruleFrame        { return ruleFrame{fin, 10, s} }
func begin(s string) ruleFrame       { return ruleFrame{0, 1, s} }
func more(s string) ruleFrame        { return ruleFrame{0, 0, s} }
func last(s string) ruleFrame        { return ruleFrame{fin, 0, s} }

func closing(code int, reason string) ruleFrame {
	return ruleFrame{fin, 8, string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason}
}

// failed is what getty says when it ends a session because of the peer.
func failed(code int) []ruleFrame { return []ruleFrame{closing(code, "")} }

func (f ruleFrame) bytes(client bool) []byte {
	b := rawFrame(client, false, f.op, []byte(f.payload))
	b[0] |= f.bits
	return b
}

// rule is one case: what is sent, and what comes back. Unless that ends in a
// close frame, the test closes and wants a clean end.
type rule struct {
	name string
	send []ruleFrame
	want []ruleFrame
	raw  string // sent behind the frames, as it is
}

// wsEcho answers in the type of what came.
var wsEcho = getty.EventFuncs[[]byte]{
	Message: func(s *getty.Session[[]byte], m []byte) error { return s.Send(m) },
}

var ruleConfig = getty.Config{
	MaxMessageSize: 16 << 20, HighWatermark: 64 << 20,
	WebSocket: getty.WebSocketConfig{MessageType: getty.MessageLast},
}

// eachEcho runs a test against getty as the server and as the client, with
// compression if it is configured.
func eachEcho(t *testing.T, cfg getty.Config, test func(t *testing.T, nc net.Conn, client bool)) {
	for _, kind := range []string{"ws", "wss"} {
		t.Run(kind+"/server", func(t *testing.T) {
			cfg.TLS = serverTLS()
			srv, err := getty.NewServer(codec.Raw{}, wsEcho, cfg)
			must(t, err)
			must(t, srv.Listen(kind+"://127.0.0.1:0"))
			t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
			offer := ""
			if cfg.WebSocket.Deflate.Enabled {
				offer = "permessage-deflate"
			}
			test(t, peerOffering(t, srv.URLs()[0], offer), true)
		})
		t.Run(kind+"/client", func(t *testing.T) {
			url, accept := listenRaw(t, transport{kind, func(testing.TB) string { return kind + "://127.0.0.1:0" }})
			cfg.TLS = clientTLS()
			dialed := make(chan error, 1)
			go func() {
				s, err := getty.Dial(within(t), url, codec.Raw{}, wsEcho, cfg)
				if err == nil {
					t.Cleanup(func() { ended(t, s.Done(), "end of the session") })
				}
				dialed <- err
			}()
			w := accept().(*wsRaw)
			if cfg.WebSocket.Deflate.Enabled {
				w.extensions = asOffered
			}
			must(t, w.Handshake())
			must(t, <-dialed)
			test(t, w, false)
		})
	}
}

// wantFrames reads frames and compares them.
func wantFrames(t *testing.T, w *wsRaw, want []ruleFrame) {
	t.Helper()
	for i, f := range want {
		got, err := w.readFrame()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if got != f {
			t.Fatalf("frame %d is opcode %d with bits %#x and %d bytes %.60q, want %d with %#x and %d bytes %.60q",
				i, got.op, got.bits, len(got.payload), got.payload, f.op, f.bits, len(f.payload), f.payload)
		}
	}
}

func runRules(t *testing.T, rules []rule) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			size := 0
			for _, f := range r.send {
				size += len(f.payload)
			}
			for _, pieces := range []string{"whole", "bytewise"} {
				if pieces == "bytewise" && size > 1000 {
					continue
				}
				t.Run(pieces, func(t *testing.T) {
					eachEcho(t, ruleConfig, func(t *testing.T, nc net.Conn, client bool) {
						w := nc.(*wsRaw)
						var out []byte
						for _, f := range r.send {
							out = append(out, f.bytes(client)...)
						}
						out = append(out, r.raw...)
						step := len(out)
						if pieces == "bytewise" {
							step = 1
						}
						for ; len(out) > 0; out = out[min(step, len(out)):] {
							if _, err := w.Conn.Write(out[:min(step, len(out))]); err != nil {
								break // it may have seen enough
							}
						}
						wantFrames(t, w, r.want)
						if n := len(r.want); n > 0 && r.want[n-1].op == 8 {
							w.said = true // nothing more to say
						} else {
							_, err := w.Conn.Write(closing(1000, "").bytes(client))
							must(t, err)
							w.said = true
							wantFrames(t, w, []ruleFrame{closing(1000, "")})
						}
						if client { // the server closes the conn
							if _, err := w.br.ReadByte(); err != io.EOF { //nolint:errorlint // exactly that
								t.Errorf("after the close frame comes %v, want EOF", err)
							}
						}
						must(t, w.Conn.Close())
					})
				})
			}
		})
	}
}

func TestWebSocketRules1Framing(t *testing.T) {
	var rules []rule
	for _, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		s := strings.Repeat("*", n)
		b := strings.Repeat("\xfe", n)
		rules = append(rules,
			rule{name: fmt.Sprintf("text/%d", n), send: []ruleFrame{text(s)}, want: []ruleFrame{text(s)}},
			rule{name: fmt.Sprintf("binary/%d", n), send: []ruleFrame{binaryFrame(b)}, want: []ruleFrame{binaryFrame(b)}})
	}
	runRules(t, rules)
}

func TestWebSocketRules2PingPong(t *testing.T) {
	full := strings.Repeat("\xfe", 125)
	var pings, pongs []ruleFrame
	for i := range 10 {
		pings, pongs = append(pings, ping(fmt.Sprint("payload-", i))), append(pongs, pong(fmt.Sprint("payload-", i)))
	}
	runRules(t, []rule{
		{name: "empty", send: []ruleFrame{ping("")}, want: []ruleFrame{pong("")}},
		{name: "text", send: []ruleFrame{ping("Hello, world!")}, want: []ruleFrame{pong("Hello, world!")}},
		{name: "binary", send: []ruleFrame{ping("\x00\xff\xfe\xfd")}, want: []ruleFrame{pong("\x00\xff\xfe\xfd")}},
		{name: "125", send: []ruleFrame{ping(full)}, want: []ruleFrame{pong(full)}},
		{name: "126", send: []ruleFrame{ping(full + "x")}, want: failed(1002)},
		{name: "pong", send: []ruleFrame{pong("")}},
		{name: "pong with payload", send: []ruleFrame{pong("unsolicited")}},
		{name: "pong and ping", send: []ruleFrame{pong("unsolicited"), ping("x")}, want: []ruleFrame{pong("x")}},
		{name: "ten", send: pings, want: pongs},
	})
}

func TestWebSocketRules3ReservedBits(t *testing.T) {
	var rules []rule
	for rsv := byte(1); rsv < 8; rsv++ {
		for _, op := range []byte{1, 2, 8, 9, 10} {
			rules = append(rules, rule{
				name: fmt.Sprintf("%d/%d", rsv, op),
				send: []ruleFrame{text("before"), {fin | rsv<<4, op, ""}, ping("never answered")},
				want: append([]ruleFrame{text("before")}, failed(1002)...),
			})
		}
	}
	runRules(t, rules)
}

func TestWebSocketRules4Opcodes(t *testing.T) {
	var rules []rule
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		for _, payload := range []string{"", "x"} {
			rules = append(rules, rule{
				name: fmt.Sprintf("%d/%d", op, len(payload)),
				send: []ruleFrame{text("before"), {fin, op, payload}, ping("never answered")},
				want: append([]ruleFrame{text("before")}, failed(1002)...),
			})
		}
	}
	runRules(t, rules)
}

func TestWebSocketRules5Fragmentation(t *testing.T) {
	runRules(t, []rule{
		{name: "ping", send: []ruleFrame{{0, 9, "a"}, last("b")}, want: failed(1002)},
		{name: "pong", send: []ruleFrame{{0, 10, "a"}, last("b")}, want: failed(1002)},
		{name: "close", send: []ruleFrame{{0, 8, "\x03\xe8"}}, want: failed(1002)},
		{name: "two", send: []ruleFrame{begin("a"), last("b")}, want: []ruleFrame{text("ab")}},
		{name: "ping between", send: []ruleFrame{begin("a"), ping("p"), last("b")}, want: []ruleFrame{pong("p"), text("ab")}},
		{
			name: "pings between", send: []ruleFrame{begin("a"), ping("p"), more("b"), ping("q"), last("c")},
			want: []ruleFrame{pong("p"), pong("q"), text("abc")},
		},
		{name: "binary", send: []ruleFrame{{0, 2, "\xff"}, last("\xfe")}, want: []ruleFrame{binaryFrame("\xff\xfe")}},
		{name: "empty ones", send: []ruleFrame{begin(""), more(""), last("")}, want: []ruleFrame{text("")}},
		{name: "empty middle", send: []ruleFrame{begin("a"), more(""), last("b")}, want: []ruleFrame{text("ab")}},
		{name: "two messages", send: []ruleFrame{begin("a"), last("b"), begin("c"), last("d")}, want: []ruleFrame{text("ab"), text("cd")}},
		{name: "nothing to continue", send: []ruleFrame{last("a"), text("b")}, want: failed(1002)},
		{name: "nothing to continue, not final", send: []ruleFrame{more("a"), text("b")}, want: failed(1002)},
		{name: "after a whole message", send: []ruleFrame{text("a"), last("b")}, want: append([]ruleFrame{text("a")}, failed(1002)...)},
		{
			name: "after a fragmented message", send: []ruleFrame{begin("a"), last("b"), last("c")},
			want: append([]ruleFrame{text("ab")}, failed(1002)...),
		},
		{name: "text within text", send: []ruleFrame{begin("a"), text("b")}, want: failed(1002)},
		{name: "fragment within text", send: []ruleFrame{begin("a"), begin("b")}, want: failed(1002)},
		{name: "close within text", send: []ruleFrame{begin("a"), closing(1000, "")}, want: failed(1000)},
	})
}

func TestWebSocketRules6UTF8(t *testing.T) {
	hello := "Hello-µ@ßöäüàá-UTF-8!!"
	kosme := "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"
	rules := []rule{
		{name: "empty", send: []ruleFrame{text("")}, want: []ruleFrame{text("")}},
		{name: "whole", send: []ruleFrame{text(hello)}, want: []ruleFrame{text(hello)}},
		{name: "split in characters", want: []ruleFrame{text(hello)}},
		// The rest is never sent: what cannot become valid is refused at once.
		{name: "refused in the first fragment", send: []ruleFrame{begin(kosme + "\xf4\x90")}, want: failed(1007)},
		{name: "refused in a later fragment", send: []ruleFrame{begin(kosme), more("\xf4"), more("\x90")}, want: failed(1007)},
		{name: "refused in the middle of a frame", raw: "", want: failed(1007)},
		{name: "a character without its end", send: []ruleFrame{text(kosme + "\xe1\xbd")}, want: failed(1007)},
		{name: "fragments without its end", send: []ruleFrame{begin(kosme), last("\xe1\xbd")}, want: failed(1007)},
	}
	for _, c := range []byte(hello) {
		rules[2].send = append(rules[2].send, more(string([]byte{c})))
	}
	rules[2].send[0].op = 1
	rules[2].send[len(rules[2].send)-1].bits = fin
	// A client's frames are masked; so this one is sent as fragments as well.
	rules[5].send = []ruleFrame{begin(strings.Repeat("x", 100) + "\xc0\x80" + strings.Repeat("x", 100))}
	for i, s := range []string{
		kosme, "\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\uffff", "\U00010000", "\U0010ffff", "\ud7ff", "\ue000", "\ufffd",
		"\ufffe", "\U0001fffe", "\U0010fffe",
	} {
		rules = append(rules, rule{name: fmt.Sprintf("valid/%d", i), send: []ruleFrame{text(s)}, want: []ruleFrame{text(s)}})
	}
	for i, s := range []string{
		"\x80", "\xbf", "\x80\xbf\x80", "\xc0", "\xc3", "\xe0", "\xe2\x82", "\xf0\x9f\x98", "\xf5", "\xfe", "\xff", "\xfe\xfe\xff\xff",
		"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf", "\xc1\xbf", "\xe0\x9f\xbf",
		"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", "\xf4\x90\x80\x80", "\xf7\xbf\xbf\xbf",
		"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", kosme + "\xed\xa0\x80" + "edited",
	} {
		rules = append(rules,
			rule{name: fmt.Sprintf("invalid/%d", i), send: []ruleFrame{text(s)}, want: failed(1007)},
			rule{name: fmt.Sprintf("invalid as binary/%d", i), send: []ruleFrame{binaryFrame(s)}, want: []ruleFrame{binaryFrame(s)}})
	}
	runRules(t, rules)
}

func TestWebSocketRules7Close(t *testing.T) {
	rules := []rule{
		{
			name: "then nothing counts", send: []ruleFrame{text("a"), closing(1000, ""), text("b"), ping("c"), closing(1000, "again")},
			want: append([]ruleFrame{text("a")}, failed(1000)...),
		},
		{name: "no code", send: []ruleFrame{{fin, 8, ""}}, want: []ruleFrame{{fin, 8, ""}}},
		{name: "half a code", send: []ruleFrame{{fin, 8, "a"}}, want: failed(1002)},
		{name: "a reason", send: []ruleFrame{closing(1000, "Hello World!")}, want: []ruleFrame{closing(1000, "Hello World!")}},
		{
			name: "the longest reason", send: []ruleFrame{closing(1000, strings.Repeat("*", 123))},
			want: []ruleFrame{closing(1000, strings.Repeat("*", 123))},
		},
		{name: "too long", send: []ruleFrame{closing(1000, strings.Repeat("*", 124))}, want: failed(1002)},
		{name: "a reason that is no text", send: []ruleFrame{closing(1000, "\xce\xba\xed\xa0\x80")}, want: failed(1007)},
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		rules = append(rules, rule{name: fmt.Sprint("valid/", code), send: []ruleFrame{closing(code, "")}, want: failed(code)})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		rules = append(rules, rule{name: fmt.Sprint("invalid/", code), send: []ruleFrame{closing(code, "")}, want: failed(1002)})
	}
	runRules(t, rules)
}

func TestWebSocketRulesMasking(t *testing.T) {
	eachEcho(t, ruleConfig, func(t *testing.T, nc net.Conn, client bool) {
		w := nc.(*wsRaw)
		_, err := w.Conn.Write(text("of the wrong kind").bytes(!client))
		must(t, err)
		w.said = true
		wantFrames(t, w, failed(1002))
		must(t, w.Conn.Close())
	})
}

// TestD36LengthsAreCheckedBeforeAnythingIsAllocated sends headers only.
func TestD36LengthsAreCheckedBeforeAnythingIsAllocated(t *testing.T) {
	for name, tt := range map[string]struct {
		length uint64
		code   int
	}{
		"top bit":          {1 << 63, 1002},
		"all bits":         {1<<64 - 1, 1002},
		"largest":          {1<<63 - 1, 1009},
		"a gigabyte":       {1 << 30, 1009},
		"one byte too far": {16<<20 + 1, 1009},
	} {
		t.Run(name, func(t *testing.T) {
			eachEcho(t, ruleConfig, func(t *testing.T, nc net.Conn, client bool) {
				w := nc.(*wsRaw)
				head := []byte{fin | 2, 127}
				if client {
					head[1] |= 0x80
				}
				_, err := w.Conn.Write(binary.BigEndian.AppendUint64(head, tt.length))
				must(t, err)
				w.said = true
				wantFrames(t, w, failed(tt.code))
				must(t, w.Conn.Close())
			})
		})
	}
}

func TestWebSocketRules9Limits(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 200 MB")
	}
	for n, fragments := range map[int][]int{64 << 10: {0, 64, 4 << 10}, 1 << 20: {0, 64, 4 << 10, 256 << 10}, 16 << 20: {0}} {
		for _, fragment := range fragments {
			t.Run(fmt.Sprintf("%d/%d", n, fragment), func(t *testing.T) {
				eachEcho(t, ruleConfig, func(t *testing.T, nc net.Conn, client bool) {
					w := nc.(*wsRaw)
					for op, c := range map[byte]string{1: "µ", 2: "\xff\xfe"} {
						if n > 1<<20 && client == (op == 2) {
							continue // once each way
						}
						message := strings.Repeat(c, n/2)
						var out []byte
						for _, f := range inFragments(op, message, cmp.Or(fragment, n)) {
							out = append(out, f.bytes(client)...)
						}
						sent := make(chan error, 1)
						go func() {
							_, err := w.Conn.Write(out)
							sent <- err
						}()
						wantFrames(t, w, []ruleFrame{{fin, op, message}})
						must(t, <-sent)
					}
					must(t, w.Close())
				})
			})
		}
	}
}

// inFragments is a message as frames of at most size bytes.
func inFragments(op byte, message string, size int) (frames []ruleFrame) {
	for rest := message; rest != ""; {
		n := min(size, len(rest))
		frames = append(frames, more(rest[:n]))
		rest = rest[n:]
	}
	frames[0].op = op
	frames[len(frames)-1].bits = fin
	return frames
}

func TestWebSocketRules10AutomaticFragments(t *testing.T) {
	message := strings.Repeat("*", 65536)
	runRules(t, []rule{{name: "1300", send: inFragments(1, message, 1300), want: []ruleFrame{text(message)}}})
}

// TestWebSocketPartialFrames: invalid text is refused in a frame that has
// arrived in part.
func TestWebSocketPartialFrames(t *testing.T) {
	eachEcho(t, ruleConfig, func(t *testing.T, nc net.Conn, client bool) {
		w := nc.(*wsRaw)
		frame := text(strings.Repeat("x", 100) + "\xed\xa0" + strings.Repeat("x", 200)).bytes(client)
		_, err := w.Conn.Write(frame[:len(frame)-200])
		must(t, err)
		w.said = true
		wantFrames(t, w, failed(1007))
		must(t, w.Conn.Close())
	})
}

// TestWebSocketSlowBytes: frames are understood however they arrive.
func TestWebSocketSlowBytes(t *testing.T) {
	eachEcho(t, ruleConfig, func(t *testing.T, nc net.Conn, client bool) {
		w := nc.(*wsRaw)
		message := strings.Repeat("µ", 700)
		frame := text(message).bytes(client)
		for len(frame) > 0 {
			n := min(7, len(frame))
			_, err := w.Conn.Write(frame[:n])
			must(t, err)
			frame = frame[n:]
		}
		wantFrames(t, w, []ruleFrame{text(message)})
		must(t, w.Close())
	})
}

// emptyLines takes an empty message for one.
type emptyLines struct{ codec.Line }

func (emptyLines) DecodeEmpty() (string, error) { return "nothing", nil }

// An empty message that waits for a worker is not delivered after Close.
func TestNothingIsDeliveredAfterCloseThoughEmpty(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		if !v.ws {
			t.Skip("streams have no empty messages")
		}
		r, leave := record(), newGate(t)
		r.onMessage = func(_ *session, m string) error {
			if m == "busy" {
				leave.wait()
			}
			return nil
		}
		v.serve(t, r, getty.Config{Workers: 1}, with(emptyLines{}))
		write(t, v.dial(t), "busy\n")
		receive(t, r.opened, "OnOpen")
		nc := v.dial(t).(*wsRaw)
		s := receive(t, r.opened, "OnOpen")
		_, err := nc.Conn.Write(binaryFrame("").bytes(true))
		must(t, err)
		synctest.Wait() // it waits for the worker
		must(t, s.Close())
		leave.open()
		synctest.Wait()
		if got := receive(t, r.messages, "message"); got != "busy" || len(r.messages) > 0 {
			t.Errorf("the first of %d messages is %q", 1+len(r.messages), got)
		}
	})
}
