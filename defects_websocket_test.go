// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// eachWebSocket runs a test over ws and wss.
func eachWebSocket(t *testing.T, test func(t *testing.T, tr transport)) {
	eachTransport(t, func(t *testing.T, tr transport) {
		if isWebSocket(tr) {
			test(t, tr)
		}
	})
}

// TestD29EverythingLeavesThroughOneWritePath: senders, pings, keepalives,
// answers to pings and the close frame of many goroutines, and the peer
// understands every byte.
func TestD29EverythingLeavesThroughOneWritePath(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		const senders, share, asked = 16, 500, 200
		r := record()
		cfg := getty.Config{Keepalive: getty.Keepalive{Interval: 20 * time.Millisecond, Misses: 1000}}
		s, nc := accepted(t, tr, r, cfg, nil)
		w := nc.(*wsRaw)
		var sending sync.WaitGroup
		for g := range senders {
			sending.Go(func() {
				for i := range share {
					if err := s.Send(numbered(g, i, i*37%3000)); err != nil {
						t.Error(err)
						return
					}
					if i%8 == 0 {
						must(t, s.Ping())
					}
				}
			})
		}
		sending.Go(func() { // pings of the peer, answered in between
			for i := range asked {
				w.mu.Lock()
				_, err := w.Conn.Write(rawFrame(true, true, 9, []byte(strconv.Itoa(i))))
				w.mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		var next [senders]int
		pings, answered := 0, -1
		for messages := 0; messages < senders*share || answered < asked-1; {
			f, err := w.readFrame()
			must(t, err)
			switch f.op {
			case 2:
				var g, i int
				if _, err := fmt.Sscanf(f.payload, "%d %d", &g, &i); err != nil {
					t.Fatalf("message %.40q: %v", f.payload, err)
				}
				if want := numbered(g, i, i*37%3000) + "\n"; i != next[g] || f.payload != want {
					t.Fatalf("message %.40q, want %d of sender %d", f.payload, next[g], g)
				}
				next[g]++
				messages++
			case 9:
				pings++
			case 10:
				// Over the watermark it may answer the last one only (section 5.5.3).
				n, err := strconv.Atoi(f.payload)
				if err != nil || n <= answered {
					t.Fatalf("pong %q after %d", f.payload, answered)
				}
				answered = n
			default:
				t.Fatalf("opcode %d", f.op)
			}
		}
		sending.Wait()
		if pings == 0 {
			t.Error("there were no pings")
		}
		for range 8 {
			sending.Go(func() { _ = s.Close() })
			sending.Go(func() { _ = s.Ping() })
			sending.Go(func() { _ = s.Send("late") })
		}
		closes := 0
		for {
			f, err := w.readFrame()
			if err != nil {
				break
			}
			if closes > 0 {
				t.Errorf("opcode %d follows the close frame", f.op)
			}
			if f.op == 8 {
				closes++
				must(t, w.CloseWrite())
			}
		}
		sending.Wait()
		if closes != 1 {
			t.Errorf("%d close frames", closes)
		}
		wantEnd(t, r, nil)
	})
}

// TestD30TheLimitHoldsOnBothSides: what is configured counts, up and down.
func TestD30TheLimitHoldsOnBothSides(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		const most = 40 << 10
		server, client := record(), record()
		server.onMessage = func(s *session, m string) error { return s.Send(m) }
		_, url := serve(t, tr, server, getty.Config{MaxMessageSize: most}, nil)
		s := dial(t, url, client, getty.Config{MaxMessageSize: most})
		fits := strings.Repeat("x", most-1)
		must(t, s.Send(fits))
		if got := receive(t, client.messages, "answer"); got != fits {
			t.Errorf("the answer has %d bytes", len(got))
		}
		must(t, s.Send(fits+"x"))
		wantEnd(t, server, getty.ErrMessageTooLong)
		var ce *getty.CloseError
		if cause := receive(t, client.closed, "OnClose"); !errors.As(cause, &ce) || ce.Code != getty.CloseMessageTooBig {
			t.Errorf("the client's cause is %v", cause)
		}
		small := record()
		s = dial(t, url, small, getty.Config{MaxMessageSize: 100})
		must(t, s.Send(strings.Repeat("x", 200)))
		wantEnd(t, small, getty.ErrMessageTooLong)
	})
}

// TestD31OneSendIsOneMessage whatever its size.
func TestD31OneSendIsOneMessage(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		s, nc := accepted(t, tr, record(), getty.Config{}, nil)
		sizes := []int{0, 1, 124, 125, 126, 4 << 10, 40 << 10, 65534, 65535, 65536, 1 << 20, 10, 70_000, 3}
		go func() {
			for _, n := range sizes {
				if err := s.Send(strings.Repeat("x", n)); err != nil {
					t.Error(err)
				}
			}
		}()
		for _, n := range sizes {
			f, err := nc.(*wsRaw).readFrame()
			must(t, err)
			if f.op != 2 || len(f.payload) != n+1 {
				t.Errorf("a frame of opcode %d and %d bytes, want a message of %d", f.op, len(f.payload), n+1)
			}
		}
	})
}

// TestD32CausesAreCloseCodesAndBack: what ends a session here is what the
// peer's session ends with.
func TestD32CausesAreCloseCodesAndBack(t *testing.T) {
	long := strings.Repeat("µ", 100)
	for name, tt := range map[string]struct {
		end    func(s *session) error
		code   int
		reason string
		eof    bool
	}{
		"Close":            {func(s *session) error { return s.Close() }, 1000, "", true},
		"a code":           {func(s *session) error { return &getty.CloseError{Code: 4321, Reason: "because"} }, 4321, "because", false},
		"wrapped":          {func(s *session) error { return fmt.Errorf("so: %w", &getty.CloseError{Code: 3000}) }, 3000, "", false},
		"CloseWithCause":   {func(s *session) error { s.CloseWithCause(&getty.CloseError{Code: 1013}); return nil }, 1013, "", false},
		"no code":          {func(s *session) error { return &getty.CloseError{Code: 1005} }, 1005, "", true},
		"not to be sent":   {func(s *session) error { return &getty.CloseError{Code: 1006} }, 1011, "", false},
		"out of range":     {func(s *session) error { return &getty.CloseError{Code: 5000} }, 1011, "", false},
		"a long reason":    {func(s *session) error { return &getty.CloseError{Code: 4000, Reason: long} }, 4000, long[:122], false},
		"an error":         {func(*session) error { return errTest }, 1011, "", false},
		"a panic":          {func(*session) error { panic("secret") }, 1011, "", false},
		"shutdown":         {func(s *session) error { s.CloseWithCause(getty.ErrShutdown); return nil }, 1012, "", false},
		"message too long": {func(*session) error { return getty.ErrMessageTooLong }, 1009, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			eachWebSocket(t, func(t *testing.T, tr transport) {
				for _, side := range []string{"server", "client"} {
					ending, told := record(), record()
					code, eof := tt.code, tt.eof
					if code == 1012 && side == "client" {
						code, eof = 1001, true // a client serves nothing that could restart
					}
					ending.onMessage = func(s *session, _ string) error { return tt.end(s) }
					if side == "server" {
						_, url := serve(t, tr, ending, getty.Config{}, nil)
						must(t, dial(t, url, told, getty.Config{}).Send("end"))
					} else {
						_, url := serve(t, tr, told, getty.Config{}, nil)
						dial(t, url, ending, getty.Config{})
						must(t, receive(t, told.opened, "OnOpen").Send("end"))
					}
					cause := receive(t, told.closed, "OnClose")
					var ce *getty.CloseError
					if !errors.As(cause, &ce) || ce.Code != code || ce.Reason != tt.reason || errors.Is(cause, io.EOF) != eof {
						t.Errorf("closed by the %s: the cause is %v, want code %d", side, cause, code)
					}
					receive(t, ending.closed, "OnClose")
				}
			})
		})
	}
}

// TestD32AMessageMustBeWhole: what is no message to the codec is told to the
// peer, and what was whole before it is delivered.
func TestD32AMessageMustBeWhole(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		r := record()
		_, nc := accepted(t, tr, r, getty.Config{}, nil)
		w := asWritten(nc).(*wsRaw)
		write(t, w, "one\ntwo\nthr")
		wantFrames(t, w, failed(1007))
		w.said = true
		must(t, w.Conn.Close())
		wantEnd(t, r, getty.ErrIncomplete)
		for _, want := range []string{"one", "two"} {
			if got := receive(t, r.messages, "message"); got != want {
				t.Errorf("the message is %q, want %q", got, want)
			}
		}
		wantNoMore(t, r)
	})
}

// TestD32NobodyWaitsForAPeerThatDoesNotAnswer: CloseTimeout bounds the closing handshake.
func TestD32NobodyWaitsForAPeerThatDoesNotAnswer(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		if !v.ws {
			t.Skip("of WebSocket")
		}
		r := record()
		v.serve(t, r, getty.Config{CloseTimeout: time.Second}, nil)
		nc := v.dial(t)
		s := <-r.opened
		must(t, s.Close())
		wantFrames(t, nc.(*wsRaw), []ruleFrame{closing(1000, "")})
		v.wantEndAt(t, r, time.Second, nil)
	})
}

// TestD33ClosingAWSSServer ends nothing but its sessions.
func TestD33ClosingAWSSServer(t *testing.T) {
	for range 20 {
		told := record()
		srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{TLS: serverTLS()})
		must(t, err)
		must(t, srv.Listen("wss://127.0.0.1:0", "ws://127.0.0.1:0"))
		for _, url := range srv.URLs() {
			c := connected(t, url, told, quick(4))
			for s := range c.Sessions() {
				_ = s.Send("x")
			}
		}
		must(t, srv.Close())
		must(t, srv.Shutdown(within(t)))
		for range 8 {
			receive(t, told.closed, "OnClose")
		}
	}
}

// TestD34AMissingPongIsNoticed within the keepalive's limit; a peer that
// answers stays.
func TestD34AMissingPongIsNoticed(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		if !v.ws {
			t.Skip("of WebSocket")
		}
		r := record()
		v.serve(t, r, getty.Config{Keepalive: getty.Keepalive{Interval: time.Second, Misses: 2}}, nil)
		nc := v.dial(t).(*wsRaw)
		for range 5 {
			f, err := nc.readFrame()
			must(t, err)
			if f.op != 9 {
				t.Fatalf("opcode %d, want a ping", f.op)
			}
			_, err = nc.Conn.Write(pong(f.payload).bytes(true))
			must(t, err)
			synctest.Wait()
			wantOpen(t, r)
		}
		v.wantEndAt(t, r, v.since()+3*time.Second, getty.ErrKeepalive)
	})
}

// TestPingsAreAnsweredWhileWorkersAreBusy, and the close frame is, too.
func TestPingsAreAnsweredWhileWorkersAreBusy(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		r, entered, leave := record(), make(chan struct{}, 1), newGate(t)
		r.onMessage = func(*session, string) error {
			entered <- struct{}{}
			leave.wait()
			return nil
		}
		_, url := serve(t, tr, r, getty.Config{Workers: 1}, nil)
		write(t, peer(t, url), "busy\n")
		receive(t, entered, "message")
		w := peer(t, url).(*wsRaw)
		_, err := w.Conn.Write(ping("alive?").bytes(true))
		must(t, err)
		wantFrames(t, w, []ruleFrame{pong("alive?")})
		must(t, w.CloseWrite())
		wantFrames(t, w, []ruleFrame{closing(1000, "")})
		wantEnd(t, r, io.EOF)
		leave.open()
	})
}

func TestPingElsewhere(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport) {
		s, _ := accepted(t, tr, record(), getty.Config{}, nil)
		if err := s.Ping(); !errors.Is(err, getty.ErrUnsupported) {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestD32TooLongForTheCodec: a message that WebSocket lets pass and the codec
// finds too long is too big, not malformed.
func TestD32TooLongForTheCodec(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, record(), getty.Config{MaxMessageSize: 1000}, func(srv *getty.Server[string]) {
			srv.Configure = with(decodeFunc(func([]byte) (string, int, error) { return "", 1001, nil }))
		})
		told := record()
		must(t, dial(t, url, told, getty.Config{}).Send("announced"))
		var ce *getty.CloseError
		if cause := receive(t, told.closed, "OnClose"); !errors.As(cause, &ce) || ce.Code != getty.CloseMessageTooBig {
			t.Errorf("the cause is %v", cause)
		}
	})
}
