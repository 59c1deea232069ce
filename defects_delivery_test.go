// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/getty-net/getty"
)

func TestD08BytesThatCameWithTheEnd(t *testing.T) {
	const n = 3000
	for _, tt := range []struct {
		name    string
		workers int
		tail    string
		want    error
	}{
		{"whole", 0, "", io.EOF},
		{"workers", 3, "", io.EOF},
		{"torn", 0, "half a li", io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				r, gone := record(), newGate(t)
				r.onMessage = func(*session, string) error { gone.wait(); return nil }
				ep, nc := open(t, spec{events: r, cfg: getty.Config{Workers: tt.workers}})
				var all []byte
				for i := range n {
					all = append(strconv.AppendInt(all, int64(i), 10), '\n')
				}
				write(t, nc, string(all)+tt.tail)
				must(t, nc.Close())
				gone.open() // the first message is being handled at the most
				wantEnd(t, r, tt.want)
				for i := range n {
					if got := receive(t, r.messages, "message"); got != strconv.Itoa(i) {
						t.Fatalf("message %d is %q", i, got)
					}
				}
				finish(t, ep)
				wantNoMore(t, r)
			})
		})
	}
}

func TestD08BytesOfAGettySession(t *testing.T) {
	const n = 2000
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		_, url := serve(t, tr, r, getty.Config{}, nil)
		s := dial(t, url, record(), getty.Config{})
		for i := range n {
			must(t, s.Send(strconv.Itoa(i)))
		}
		must(t, s.Close())
		wantEnd(t, r, io.EOF)
		if len(r.messages) != n {
			t.Errorf("%d of %d messages before OnClose", len(r.messages), n)
		}
	})
}

// lateDecodes is a codec that counts the calls of Decode after over was set.
func lateDecodes(over *atomic.Bool, late *atomic.Int64) *hooked {
	return &hooked{onDecode: func([]byte) error {
		if over.Load() {
			late.Add(1)
		}
		return nil
	}}
}

func TestD07NothingIsDeliveredAfterClose(t *testing.T) {
	const last = 3 // the message whose handler ends the session
	lines := strings.Repeat("line\n", 20_000)
	for _, tt := range []struct {
		name    string
		workers int
		end     func(s *session) error
		want    error
	}{
		{"Close", 0, func(s *session) error { return s.Close() }, nil},
		{"Close on a worker", 2, func(s *session) error { return s.Close() }, nil},
		{"CloseWithCause", 0, func(s *session) error { s.CloseWithCause(errTest); return nil }, errTest},
		{"error", 0, func(*session) error { return errTest }, errTest},
		{"error on a worker", 2, func(*session) error { return errTest }, errTest},
		{"elsewhere", 0, func(s *session) error {
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				_ = s.Close()
			}()
			<-closed
			return nil
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachSide(t, func(t *testing.T, open opener) {
				var over atomic.Bool
				var late atomic.Int64
				r, handled := record(), 0
				r.onMessage = func(s *session, _ string) error {
					if handled++; handled < last {
						return nil
					}
					defer over.Store(true)
					return tt.end(s)
				}
				ep, nc := open(t, spec{
					events: r, configure: with(lateDecodes(&over, &late)),
					cfg: getty.Config{Workers: tt.workers, CloseTimeout: limit},
				})
				// More comes with the message, and after the close has been seen.
				write(t, nc, lines)
				if got := readAll(t, nc); got != "" {
					t.Errorf("peer got %q", got)
				}
				write(t, nc, lines)
				nc.Close()
				wantEnd(t, r, tt.want)
				finish(t, ep)
				if n := late.Load(); n != 0 {
					t.Errorf("Decode was called %d times after the close", n)
				}
				if n := len(r.messages); n != last {
					t.Errorf("%d messages delivered, want %d", n, last)
				}
			})
		})
	}
}

func TestD07CloseInOnOpen(t *testing.T) {
	eachSide(t, func(t *testing.T, open opener) {
		var over atomic.Bool
		var late atomic.Int64
		over.Store(true)
		r, sent := record(), newGate(t)
		r.onOpen = func(s *session) error {
			sent.wait()
			return s.Close()
		}
		ep, nc := open(t, spec{events: r, configure: with(lateDecodes(&over, &late)), cfg: getty.Config{CloseTimeout: limit}})
		write(t, nc, "one\ntwo\n")
		sent.open()
		if got := readAll(t, nc); got != "" {
			t.Errorf("peer got %q", got)
		}
		nc.Close()
		wantEnd(t, r, nil)
		finish(t, ep)
		wantNoMore(t, r)
		if n := late.Load(); n != 0 {
			t.Errorf("Decode was called %d times", n)
		}
	})
}
