// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// decodeFunc is a codec whose Decode is a function.
type decodeFunc func(data []byte) (string, int, error)

func (f decodeFunc) Decode(data []byte) (string, int, error) { return f(data) }

func (decodeFunc) Append(dst []byte, msg string) ([]byte, error) {
	return codec.Line{}.Append(dst, msg)
}

func TestD51ACodecThatBreaksItsContractEndsTheSession(t *testing.T) {
	failure := errors.New("bad bytes")
	for name, c := range map[string]struct {
		decode decodeFunc
		want   error
	}{
		"negative":             {func([]byte) (string, int, error) { return "", -1, nil }, getty.ErrCodec},
		"most negative":        {func([]byte) (string, int, error) { return "", math.MinInt, nil }, getty.ErrCodec},
		"error":                {func([]byte) (string, int, error) { return "", 0, failure }, failure},
		"error with a length":  {func(d []byte) (string, int, error) { return "", len(d), failure }, failure},
		"too much announced":   {func([]byte) (string, int, error) { return "", 1001, nil }, getty.ErrMessageTooLong},
		"all that is":          {func([]byte) (string, int, error) { return "", math.MaxInt, nil }, getty.ErrMessageTooLong},
		"never enough":         {func([]byte) (string, int, error) { return "", 0, nil }, getty.ErrMessageTooLong},
		"always one byte more": {func(d []byte) (string, int, error) { return "", len(d) + 1, nil }, getty.ErrMessageTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				r := record()
				_, nc := accepted(t, tr, r, getty.Config{MaxMessageSize: 1000}, with(c.decode))
				size, want := 5000, c.want
				if isWebSocket(tr) {
					size = 500 // more would be too long for the transport already
					if strings.HasPrefix(name, "never") || strings.HasPrefix(name, "always") {
						want = getty.ErrIncomplete
					}
				}
				write(t, asWritten(nc), strings.Repeat("x", size))
				halfClose(t, nc)
				wantEnd(t, r, want)
				if len(r.messages) > 0 {
					t.Errorf("message %q came of it", <-r.messages)
				}
			})
		})
	}
}

func TestD51DecodeNeverSeesMoreThanTheLimit(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		longest := 0
		_, nc := accepted(t, tr, r, getty.Config{MaxMessageSize: 100}, with(decodeFunc(func(data []byte) (string, int, error) {
			longest = max(longest, len(data))
			return codec.Line{}.Decode(data)
		})))
		const n = 500
		write(t, nc, strings.Repeat(strings.Repeat("x", 30)+"\n", n))
		for range n {
			receive(t, r.messages, "message")
		}
		_ = nc.Close()
		receive(t, r.closed, "OnClose")
		if longest > 100 {
			t.Errorf("Decode got %d bytes, the limit is 100", longest)
		}
	})
}

func TestD51TheLimitIsExact(t *testing.T) {
	const limit = 100_000
	eachTransport(t, func(t *testing.T, tr transport) {
		r := record()
		_, nc := accepted(t, tr, r, getty.Config{MaxMessageSize: limit}, nil)
		fits := strings.Repeat("x", limit-1)
		write(t, nc, fits+"\n"+fits+"\n")
		for range 2 {
			if got := receive(t, r.messages, "message of the longest kind"); got != fits {
				t.Fatalf("message has %d bytes, want %d", len(got), len(fits))
			}
		}
		go func() {
			_, _ = io.WriteString(nc, fits+"x\n")
			_ = nc.(interface{ CloseWrite() error }).CloseWrite()
		}()
		wantEnd(t, r, getty.ErrMessageTooLong)
	})
}

func TestD51TheLimitHoldsForAnnouncedLengths(t *testing.T) {
	const limit = 1000
	for size, want := range map[uint32]error{
		limit - 4:      nil, // the frame has a header of 4 bytes
		limit - 3:      getty.ErrMessageTooLong,
		1 << 30:        getty.ErrMessageTooLong,
		1<<31 - 1:      getty.ErrMessageTooLong,
		1 << 31:        getty.ErrMessageTooLong,
		math.MaxUint32: getty.ErrMessageTooLong,
	} {
		eachTransport(t, func(t *testing.T, tr transport) {
			closed, got := make(chan error, 1), make(chan int, 1)
			_, nc := frames(t, tr, getty.EventFuncs[[]byte]{
				Message: func(_ *getty.Session[[]byte], m []byte) error {
					got <- len(m)
					return nil
				},
				Close: func(_ *getty.Session[[]byte], cause error) { closed <- cause },
			}, getty.Config{MaxMessageSize: limit})
			header := binary.BigEndian.AppendUint32(nil, size)
			if want != nil {
				write(t, nc, string(header)) // the length is enough
				halfClose(t, nc)
				wantCause(t, receive(t, closed, "OnClose"), want)
				return
			}
			write(t, nc, string(header)+strings.Repeat("x", int(size)))
			if n := receive(t, got, "message"); n != int(size) {
				t.Errorf("message has %d bytes, want %d", n, size)
			}
		})
	}
}

// announcing opens many sessions that are promised a gigabyte and get ten bytes.
func TestD51MemoryFollowsWhatArrivesNotWhatIsAnnounced(t *testing.T) {
	const sessions = 50
	eachTransport(t, func(t *testing.T, tr transport) {
		cfg := getty.Config{MaxMessageSize: math.MaxInt32, TLS: serverTLS()}
		srv, err := getty.NewServer(codec.LengthField{}, getty.NopEvents[[]byte]{}, cfg)
		must(t, err)
		must(t, srv.Listen(tr.url(t)))
		defer func() { must(t, srv.Close()) }()
		var peers []net.Conn
		for range sessions {
			peers = append(peers, peer(t, srv.URLs()[0]))
		}
		before := heap()
		for _, nc := range peers {
			write(t, nc, string(binary.BigEndian.AppendUint32(nil, 1<<30))+"sixbyt")
		}
		for srv.Stats().BytesIn < 10*sessions {
			runtime.Gosched()
		}
		if grown := heap() - before; grown > sessions*64<<10 {
			t.Errorf("%d KiB are held for %d bytes", grown>>10, 10*sessions)
		}
	})
}

// An output buffer that nothing was put into is not kept, as when nothing came of
// an encoding while sends were collected.
func TestIdleSessionsKeepNoOutput(t *testing.T) {
	const sessions, size = 40, 256 << 10
	for name, idle := range map[string]func(s *session) error{
		"prepare": func(s *session) error {
			_, err := s.Prepare("z")
			return err
		},
		"fail": func(s *session) error {
			if s.Send("two\nlines") == nil {
				return errors.New("that was sent")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				srv, url := serve(t, tr, funcs{Message: func(s *session, m string) error {
					switch m {
					case "much":
						return s.Send(strings.Repeat("x", size))
					case "nothing":
						return idle(s)
					}
					return nil
				}}, getty.Config{}, nil)
				r := record()
				c := connected(t, url, r, getty.ClientConfig{PoolSize: sessions})
				before := heap()
				for s := range c.Sessions() {
					must(t, s.Send("much"))
					receive(t, r.messages, "answer")
					must(t, s.SendFrame(t.Context(), []byte("nothing\n\n")))
				}
				reaches(t, 3*sessions, "the number of messages", func() int { return int(srv.Stats().MessagesIn) })
				reaches(t, true, "memory given back", func() bool { return heap()-before < sessions*size/2 })
			})
		})
	}
}

func heap() int64 {
	runtime.GC() // the second one empties pools
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

func TestD51LimitsCanBeTheSessionsOwn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{MaxMessageSize: 10}, func(s *session, u *setup) error {
			if s.ID() == 2 {
				u.MaxMessageSize = 20
			}
			return nil
		})
		small, big := v.dial(t), v.dial(t)
		line := strings.Repeat("x", 15) + "\n"
		write(t, big, line)
		synctest.Wait()
		if len(r.messages) != 1 || len(r.closed) != 0 {
			t.Error("the session with a limit of its own did not take the message")
		}
		write(t, small, line)
		synctest.Wait()
		wantEnd(t, r, getty.ErrMessageTooLong)
	})
}

func TestG5MessagesBeyondOneBatchArrive(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		cfg := getty.Config{MaxMessageSize: 8 << 20}
		_, url := serve(t, tr, echo, cfg, nil)
		r := record()
		s := dial(t, url, r, cfg)
		for _, size := range []int{0, 1, 64<<10 - 2, 64<<10 - 1, 64 << 10, 100_000, 1 << 20, 3<<20 + 1, 1} {
			text := strings.Repeat("x", size)
			must(t, s.Send(text))
			if got := receive(t, r.messages, "answer"); got != text {
				t.Fatalf("answer has %d bytes, want %d", len(got), size)
			}
		}
	})
}
