// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gxsync "github.com/dubbogo/gost/sync"
	engine "github.com/getty-net/getty"

	"github.com/apache/dubbo-getty"
)

// send opens a session to a server whose sessions have a Reader, and returns it.
func send(t *testing.T, tr transport, r *recorder, rd getty.Reader, opts ...getty.ServerOption) (at, from getty.Session) {
	t.Helper()
	_, addr := serve(t, tr, with(r, func(s getty.Session) { s.SetReader(rd) }), opts...)
	peer := record()
	connect(t, tr, addr, 1, with(peer, func(s getty.Session) { s.SetAttribute("ignore-reconnect", true) }))
	return receive(t, r.opened, "session"), receive(t, peer.opened, "session")
}

// TestReaderReturns: only a nil interface is no package.
func TestReaderReturns(t *testing.T) {
	type pkg struct{}
	for name, p := range map[string]interface{}{
		"typed nil": (*pkg)(nil), "nil slice": []byte(nil), "empty slice": []byte{}, "zero": 0, "empty string": "",
	} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				r := record()
				_, s := send(t, tr, r, codec{read: func(_ getty.Session, data []byte) (interface{}, int, error) {
					return p, min(2, len(data)), nil
				}})
				_, err := s.WriteBytes([]byte("abcd"))
				must(t, err)
				want := 2
				if !tr.isTCP() {
					want = 1 // a message is one package, whatever the length
				}
				for range want {
					if got := receive(t, r.messages, "message"); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", p) {
						t.Errorf("the message is %#v, want %#v", got, p)
					}
				}
				wantNone(t, r.messages, "further message")
			})
		})
	}
}

// TestReaderWaits: (nil, 0) and (nil, n) get more bytes, from the beginning on.
func TestReaderWaits(t *testing.T) {
	for _, tr := range transports[:2] {
		for _, hint := range []int{0, 1, 4, 100} {
			t.Run(fmt.Sprint(tr.name, hint), func(t *testing.T) {
				r := record()
				asked := make(chan int, 100)
				_, s := send(t, tr, r, codec{read: func(_ getty.Session, data []byte) (interface{}, int, error) {
					asked <- len(data)
					if len(data) < 6 {
						return nil, hint, nil
					}
					return string(data[:6]), 6, nil
				}})
				for i, part := range []string{"ab", "cd", "ef"} {
					_, err := s.WriteBytes([]byte(part))
					must(t, err)
					for receive(t, asked, "Read") < 2*(i+1) {
					}
				}
				if got := receive(t, r.messages, "message"); got != "abcdef" {
					t.Errorf("the message is %q", got)
				}
			})
		}
	}
}

// TestTooLong: a package beyond SetMaxMsgLen, announced or arrived, ends a TCP
// session; memory does not grow further (D51). Less than 1 is no limit, and the
// limit can be changed while the session runs.
func TestTooLong(t *testing.T) {
	announced := codec{read: func(_ getty.Session, data []byte) (interface{}, int, error) {
		if i := bytes.IndexByte(data, ' '); i > 0 {
			n := len(string(data[:i]))
			_, err := fmt.Sscan(string(data[:i]), &n)
			return nil, n, err
		}
		return nil, 0, nil
	}}
	for name, c := range map[string]struct {
		reader getty.Reader
		text   string
	}{
		"announced": {announced, "101 "},
		"arrived":   {lines{}, strings.Repeat("x", 100)},
		"whole":     {lines{}, strings.Repeat("x", 100) + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := record()
			at, s := send(t, transports[0], r, c.reader)
			at.SetMaxMsgLen(100)
			_, err := s.WriteBytes([]byte(c.text))
			must(t, err)
			if err := receive(t, r.errs, "OnError"); !errors.Is(err, engine.ErrMessageTooLong) {
				t.Errorf("the error is %v", err)
			}
			receive(t, r.closed, "OnClose")
		})
	}
	for _, limit := range []int{0, -1, 10_001} {
		r := record()
		at, s := send(t, transports[0], r, lines{})
		at.SetMaxMsgLen(limit)
		_, _, err := s.WritePkg(strings.Repeat("x", 10_000), 0)
		must(t, err)
		receive(t, r.messages, "message")
	}
}

// TestD51NoProgress: a package of no bytes ends the session instead of looping.
func TestD51NoProgress(t *testing.T) {
	for _, n := range []int{0, -1} {
		r := record()
		_, s := send(t, transports[0], r, codec{read: func(getty.Session, []byte) (interface{}, int, error) { return "x", n, nil }})
		_, err := s.WriteBytes([]byte("x"))
		must(t, err)
		if err := receive(t, r.errs, "OnError"); !errors.Is(err, engine.ErrCodec) {
			t.Errorf("the error is %v", err)
		}
	}
}

// TestWebSocketMessages: without a Reader they come as they are; an error of the
// Reader, or a length beyond the limit, drops one and no more; nil is delivered.
func TestWebSocketMessages(t *testing.T) {
	for _, tr := range transports[2:] {
		t.Run(tr.name, func(t *testing.T) {
			r := record()
			at, s := send(t, tr, r, nil)
			write := func(text string) {
				t.Helper()
				_, err := s.WriteBytes([]byte(text))
				must(t, err)
			}
			write("raw")
			if got, ok := receive(t, r.messages, "message").([]byte); !ok || string(got) != "raw" {
				t.Errorf("the message is %q", got)
			}
			at.SetReader(codec{read: func(_ getty.Session, data []byte) (interface{}, int, error) {
				switch string(data) {
				case "bad":
					return nil, 0, errTest
				case "long":
					return "long", 2 << 20, nil
				case "nil":
					return nil, 0, nil
				}
				return string(data), len(data), nil
			}})
			for _, text := range []string{"bad", "long", "nil", "two\nlines\n"} {
				write(text)
			}
			if got := receive(t, r.messages, "message"); got != nil {
				t.Errorf("the message is %q", got)
			}
			if got := receive(t, r.messages, "message"); got != "two\nlines\n" {
				t.Errorf("the message is %q", got)
			}
			wantNone(t, r.errs, "OnError")
		})
	}
}

// TestWebSocketText is UTF-8, which a session does not outlive if it is not. The
// bytes in Stat are those of frames with their headers.
func TestWebSocketText(t *testing.T) {
	r := record()
	_, addr := serve(t, transports[2], with(r))
	nc, _, err := upgraded(t, addr, nil)
	must(t, err)
	s := receive(t, r.opened, "session")
	_, err = io.WriteString(nc, "\x81\x83\x00\x00\x00\x00\u00e9\n") // text of 3 bytes, under a mask of zeros
	must(t, err)
	if got := receive(t, r.messages, "message"); got != "\u00e9" {
		t.Errorf("the message is %q", got)
	}
	eventually(t, "the counters", func() bool { return strings.Contains(s.Stat(), "Read Bytes: 9, ") })
	_, err = io.WriteString(nc, "\x81\x82\x00\x00\x00\x00\xe9\n")
	must(t, err)
	if err := receive(t, r.errs, "OnError"); !errors.Is(err, engine.ErrInvalidUTF8) {
		t.Errorf("the error is %v", err)
	}
	receive(t, r.closed, "OnClose")
	wantNone(t, r.messages, "message that is not UTF-8")
}

// TestD30MaxMessageOfWebSocket holds on both sides, from NewSessionCallback on.
func TestD30MaxMessageOfWebSocket(t *testing.T) {
	for _, tr := range transports[2:] {
		r, peer := record(), record()
		_, addr := serve(t, tr, with(r))
		connect(t, tr, addr, 1, with(peer, func(s getty.Session) {
			s.SetMaxMsgLen(100_000)
			s.SetAttribute("ignore-reconnect", true)
		}))
		s := receive(t, r.opened, "session")
		_, _, err := s.WritePkg(strings.Repeat("x", 90_000), 0)
		must(t, err)
		receive(t, peer.messages, "message")
		_, _, err = s.WritePkg(strings.Repeat("x", 100_001), 0)
		must(t, err)
		if err := receive(t, peer.errs, "OnError"); !errors.Is(err, engine.ErrMessageTooLong) {
			t.Errorf("the error is %v", err)
		}
		if err := receive(t, r.errs, "OnError"); !strings.Contains(err.Error(), "closed with code") {
			t.Errorf("the close frame is %v", err)
		}
	}
}

// pools are the two task pools that gost has.
func pools(t *testing.T) map[string]gxsync.GenericTaskPool {
	t.Helper()
	ps := map[string]gxsync.GenericTaskPool{
		"simple": gxsync.NewTaskPoolSimple(4),
		"queues": gxsync.NewTaskPool(gxsync.WithTaskPoolTaskPoolSize(4)),
	}
	for _, p := range ps {
		t.Cleanup(p.Close)
	}
	return ps
}

// TestTaskPool: messages are handled at the same time and in any order, and none
// of them changes afterwards, although the Reader returns what it was given.
func TestTaskPool(t *testing.T) {
	for _, pool := range pools(t) {
		eachTransport(t, func(t *testing.T, tr transport) {
			const count = 500
			r := record()
			var calls atomic.Int32
			second := make(chan struct{})
			r.onMessage = func(_ getty.Session, pkg interface{}) {
				switch calls.Add(1) {
				case 1:
					receive(t, second, "second message while the first is handled")
				case 2:
					close(second)
				}
				r.messages <- pkg
			}
			at, s := send(t, tr, r, alias, getty.WithServerTaskPool(pool))
			if at.EndPoint().GetTaskPool() != pool {
				t.Error("GetTaskPool is another one")
			}
			line := func(i int) string { return fmt.Sprintf("%d %s\n", i, strings.Repeat(fmt.Sprint(i%10), i*7)) }
			for i := range count {
				_, err := s.WriteBytes([]byte(line(i)))
				must(t, err)
			}
			var all [][]byte
			for range count {
				all = append(all, receive(t, r.messages, "message").([]byte))
			}
			wantLines(t, all, count, line) // long after all of them have been read
		})
	}
}

// TestTaskPoolAfterClose: tasks of a closed session do nothing (D07).
func TestTaskPoolAfterClose(t *testing.T) {
	pool := gxsync.NewTaskPoolSimple(1)
	t.Cleanup(pool.Close)
	r := record()
	gate := make(chan struct{})
	r.onMessage = func(s getty.Session, pkg interface{}) {
		s.Close()
		<-gate
		r.messages <- pkg
	}
	at, s := send(t, transports[0], r, lines{}, getty.WithServerTaskPool(pool))
	_, err := s.WriteBytes([]byte("1\n"))
	must(t, err)
	eventually(t, "close", at.IsClosed)
	_, _ = s.WriteBytes([]byte("2\n3\n"))
	receive(t, r.closed, "OnClose")
	close(gate)
	receive(t, r.messages, "message")
	wantNone(t, r.messages, "message of a closed session")
}

// TestTaskPoolAfterEOF: what a peer has sent, and no task has begun to handle when
// its closing is read, is not handled any more.
func TestTaskPoolAfterEOF(t *testing.T) {
	// Other pools do not let tasks wait.
	pool := gxsync.NewTaskPool(gxsync.WithTaskPoolTaskPoolSize(1),
		gxsync.WithTaskPoolTaskQueueNumber(1), gxsync.WithTaskPoolTaskQueueLength(10))
	t.Cleanup(pool.Close)
	r := record()
	gate := make(chan struct{})
	r.onMessage = func(_ getty.Session, pkg interface{}) { r.messages <- pkg; <-gate }
	_, s := send(t, transports[0], r, lines{}, getty.WithServerTaskPool(pool))
	_, err := s.WriteBytes([]byte("1\n2\n3\n"))
	must(t, err)
	receive(t, r.messages, "message")
	s.Close()
	receive(t, r.closed, "OnClose")
	close(gate)
	wantNone(t, r.messages, "message of a closed session")
}

// TestTaskPoolPanic ends the session, and only it.
func TestTaskPoolPanic(t *testing.T) {
	pool := gxsync.NewTaskPoolSimple(2)
	t.Cleanup(pool.Close)
	r := record()
	r.onMessage = func(getty.Session, interface{}) { panic(errTest) }
	_, s := send(t, transports[0], r, lines{}, getty.WithServerTaskPool(pool))
	_, err := s.WriteBytes([]byte("1\n"))
	must(t, err)
	if err := receive(t, r.errs, "OnError"); !errors.Is(err, errTest) {
		t.Errorf("the error is %v", err)
	}
	receive(t, r.closed, "OnClose")
}

// TestActive: GetActive follows what arrives, and UpdateActive.
func TestActive(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		at, s := send(t, tr, r, lines{})
		before := at.GetActive()
		if since := time.Since(before); since < 0 || since > patience {
			t.Errorf("a new session was active %v ago", since)
		}
		_, err := s.WriteBytes([]byte("x\n"))
		must(t, err)
		receive(t, r.messages, "message")
		after := at.GetActive()
		if !after.After(before) {
			t.Errorf("%v is not after %v", after, before)
		}
		at.UpdateActive()
		if !at.GetActive().After(after) {
			t.Error("UpdateActive does nothing")
		}
	})
}
