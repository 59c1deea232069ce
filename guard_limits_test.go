// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/getty-net/getty"
)

func TestFirstMessageTimeout(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{Limits: getty.Limits{FirstMessageTimeout: 3 * time.Second}}, nil)
		nc := v.dial(t)
		opened := v.since()
		go func() { // a part of a message is none
			for range 4 {
				time.Sleep(700 * time.Millisecond)
				_, _ = below(nc).Write(part(v))
			}
		}()
		v.wantEndAt(t, r, opened+3*time.Second, getty.ErrFirstMessage)
		if getty.CauseKind(getty.ErrFirstMessage) != "first message" {
			t.Error("its kind has no name of its own")
		}
		spoken := v.dial(t)
		write(t, spoken, "here I am\n")
		time.Sleep(time.Hour)
		wantOpen(t, r)
	})
}

// part is what v's raw peers can send again and again without a message coming of it.
func part(v *virtual) []byte {
	switch {
	case v.ws:
		return []byte{0x89, 0x80, 0, 0, 0, 0} // a ping
	case v.tls:
		return nil
	}
	return []byte("x")
}

// A callback that takes its time is not the peer's silence.
func TestFirstMessageTimeoutWhileItIsHandled(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		r.onMessage = func(s *session, m string) error {
			time.Sleep(10 * time.Second)
			return s.Send(m)
		}
		v.serve(t, r, getty.Config{Limits: getty.Limits{FirstMessageTimeout: time.Second}}, nil)
		nc := v.dial(t)
		tp := v.tape(nc)
		write(t, nc, "slow\n")
		time.Sleep(11 * time.Second)
		if got := tp.text(); got != "slow\n" {
			t.Errorf("the peer got %q", got)
		}
		wantOpen(t, r)
	})
}

// Slowloris: some bytes now and then keep a session alive only at MinRate.
func TestMinRateOfSending(t *testing.T) {
	inVirtualStream(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{Limits: getty.Limits{MinRate: 100}}, nil)
		slow, fast := v.dial(t), v.dial(t)
		for range 100 { // 200 bytes a second
			write(t, fast, strings.Repeat("x", 200))
			time.Sleep(time.Second)
			synctest.Wait()
		}
		wantOpen(t, r)
		_ = fast.Close()
		synctest.Wait()
		wantCause(t, <-r.closed, io.ErrUnexpectedEOF)
		for range 12 { // 50 bytes a second
			if len(r.closed) > 0 {
				break
			}
			_, _ = slow.Write(bytes.Repeat([]byte("x"), 50))
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if len(r.closed) == 0 {
			t.Fatal("the session is open after 12 seconds")
		}
		wantCause(t, <-r.closed, getty.ErrMessageTimeout)
	})
}

// Two messages that are unfinished when somebody looks are not one that is slow.
func TestMinRateIsOfOneMessage(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{Limits: getty.Limits{MinRate: 100}}, nil)
		nc := v.dial(t)
		time.Sleep(990 * time.Millisecond)
		for range 100 { // of 60 bytes a second, each line within 20 ms
			write(t, nc, strings.Repeat("x", 30))
			time.Sleep(20 * time.Millisecond)
			write(t, nc, strings.Repeat("x", 29)+"\n")
			time.Sleep(980 * time.Millisecond)
			wantOpen(t, r)
		}
	})
}

func TestMinRateOfReceiving(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{WriteTimeout: time.Hour, Limits: getty.Limits{MinRate: 1000}}, nil)
		for _, tc := range []struct {
			rate int
			want error
		}{{4000, nil}, {100, getty.ErrSlowConsumer}} {
			nc := v.dial(t)
			s := receive(t, r.opened, "OnOpen")
			const size = 400 << 10
			must(t, s.Send(strings.Repeat("x", size)))
			for range min(1000, size/tc.rate) {
				if _, err := io.ReadFull(below(nc), make([]byte, tc.rate)); err != nil {
					break
				}
				time.Sleep(time.Second)
			}
			synctest.Wait()
			switch {
			case tc.want == nil && len(r.closed) > 0:
				t.Fatalf("%d bytes a second: the session ended with %v", tc.rate, <-r.closed)
			case tc.want != nil && len(r.closed) == 0:
				t.Fatalf("%d bytes a second: the session is open", tc.rate)
			case tc.want != nil:
				wantCause(t, <-r.closed, tc.want)
			}
			_ = nc.Close()
			if tc.want == nil {
				_ = receive(t, r.closed, "OnClose")
			}
		}
	})
}

func TestRateLimits(t *testing.T) {
	for name, l := range map[string]getty.Limits{
		"messages": {Messages: getty.Rate{PerSecond: 10}},
		"bytes":    {Bytes: getty.Rate{PerSecond: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, v *virtual) {
				r := record()
				v.serve(t, r, getty.Config{Limits: l}, nil)
				nc := v.dial(t)
				for range 50 {
					write(t, nc, "123456789\n")
					time.Sleep(time.Second / 5)
				}
				wantOpen(t, r)
				for range 11 {
					_, _ = nc.Write([]byte("123456789\n"))
					synctest.Wait()
				}
				if len(r.closed) == 0 {
					t.Fatal("the session is open")
				}
				wantCause(t, <-r.closed, getty.ErrRateLimit)
			})
		})
	}
}

// Throttled sessions lose nothing, and can be closed meanwhile.
func TestThrottle(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r, at := record(), &clock{}
		r.onMessage = func(s *session, m string) error {
			at.note(v.since().Truncate(time.Millisecond))
			return s.Send(m)
		}
		srv := v.serve(t, r, getty.Config{
			IdleTimeout: 10 * time.Second,
			Limits:      getty.Limits{Messages: getty.Rate{PerSecond: 1, Burst: 2}, Throttle: true},
		}, nil)
		nc := v.dial(t)
		tp := v.tape(nc)
		begin := v.since().Truncate(time.Millisecond)
		for _, m := range []string{"a\n", "b\n", "c\n", "d\n", "e\n"} {
			go func() { write(t, nc, m) }()
			synctest.Wait()
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := tp.text(); got != "a\nb\nc\nd\ne\n" {
			t.Errorf("the peer got %q", got)
		}
		at.mu.Lock()
		if n := len(at.at); n != 5 || at.at[2] != begin || at.at[3] < begin+time.Second || at.at[4] > begin+3*time.Second {
			t.Errorf("handled at %v from %v on", at.at, begin)
		}
		at.mu.Unlock()
		for s := range srv.Sessions() {
			must(t, s.Close())
		}
		synctest.Wait()
		_ = nc.Close()
		synctest.Wait()
		wantCause(t, <-r.closed, nil)
	})
}

func TestLimitsOfOneSession(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r := record()
		v.serve(t, r, getty.Config{Limits: getty.Limits{Messages: getty.Rate{PerSecond: 1}}}, func(_ *session, u *setup) error {
			u.Limits = getty.Limits{} // as for one that is trusted
			return nil
		})
		nc := v.dial(t)
		for range 100 {
			write(t, nc, "m\n")
			synctest.Wait()
		}
		wantOpen(t, r)
	})
}

// What expands too much ends, whether or not it would fit into a message.
func TestMaxExpansion(t *testing.T) {
	bomb := strings.Repeat("0", 4<<20)
	cfg := getty.Config{MaxMessageSize: 8 << 20, Limits: getty.Limits{MaxExpansion: 8}}
	for _, how := range []getty.Compression{getty.CompressFlate, getty.CompressSnappy, getty.CompressZstd} {
		t.Run(how.String(), func(t *testing.T) {
			eachStream(t, func(t *testing.T, tr transport) {
				cfg := cfg
				cfg.Compression = how
				expands(t, tr, cfg, bomb)
			})
		})
	}
	t.Run("deflate", func(t *testing.T) {
		eachTransport(t, func(t *testing.T, tr transport) {
			if !isWebSocket(tr) {
				t.Skip("it is WebSocket's")
			}
			cfg := cfg
			cfg.WebSocket.Deflate.Enabled = true
			expands(t, tr, cfg, bomb)
		})
	})
}

// barren is input that becomes nothing, in pieces of so few bytes.
var barren = map[getty.Compression]string{
	getty.CompressFlate:  "\x00\x00\x00\xff\xff",
	getty.CompressSnappy: "\xfe\x01\x00\x00\x00",
	getty.CompressZstd:   "\x50\x2a\x4d\x18\x00\x00\x00\x00",
}

// TestBytesThatBecomeNothing: Limits.Bytes holds for them as well.
func TestBytesThatBecomeNothing(t *testing.T) {
	const rate = 64 << 10
	for _, how := range zipPlain {
		nothing := strings.Repeat(barren[how], 1<<20/len(barren[how]))
		t.Run(how.String(), func(t *testing.T) {
			eachStream(t, func(t *testing.T, tr transport) {
				r := record()
				cfg := zipConfig(how)
				cfg.Limits.Bytes = getty.Rate{PerSecond: rate}
				nc := zipServe(t, tr, r, cfg)
				write(t, nc, "message\n")
				receive(t, r.messages, "message")
				_, _ = io.WriteString(nc.Conn, nothing) // it may be cut off
				wantEnd(t, r, getty.ErrRateLimit)
			})
			inVirtualStream(t, func(t *testing.T, v *virtual) {
				r := record()
				cfg := zipConfig(how)
				cfg.Limits = getty.Limits{Bytes: getty.Rate{PerSecond: rate}, Throttle: true}
				v.serve(t, r, cfg, nil)
				nc := zipPeer(t, v.dial(t), how)
				write(t, nc, "message\n")
				begin := v.since()
				go func() {
					for left, n := nothing, 4<<10; len(left) > 0; left = left[min(n, len(left)):] {
						_, _ = io.WriteString(nc.Conn, left[:min(n, len(left))])
					}
					_, _ = io.WriteString(nc, "message\n")
				}()
				receive(t, r.messages, "message")
				receive(t, r.messages, "message behind nothing")
				const want = (1<<20 - 256<<10 - rate) / rate * time.Second
				if took := v.since() - begin; took < want-time.Second || took > want+time.Second {
					t.Errorf("it took %v, want %v", took, want)
				}
				wantOpen(t, r)
			})
		})
	}
}

// Nothing is charged for what is small: a line that is flushed by itself is longer
// than it was.
func TestShortMessagesAreNotBarren(t *testing.T) {
	for _, how := range zipPlain {
		t.Run(how.String(), func(t *testing.T) {
			inVirtualStream(t, func(t *testing.T, v *virtual) {
				r := record()
				cfg := zipConfig(how)
				cfg.Limits.Bytes = getty.Rate{PerSecond: 4 << 10, Burst: 4 << 10}
				srv := v.serve(t, r, cfg, nil)
				nc := zipPeer(t, v.dial(t), how)
				var lines int64
				for range 60 {
					for range 1000 {
						write(t, nc, "\n")
						lines++
					}
					synctest.Wait()
					for len(r.messages) > 0 {
						<-r.messages
					}
					time.Sleep(time.Second)
				}
				wantOpen(t, r)
				if n := srv.Stats().MessagesIn; n != lines {
					t.Errorf("%d messages of %d", n, lines)
				}
			})
		})
	}
}

// The limit holds for each beginning of a message: what is refused has not been
// expanded first.
func TestMaxExpansionOfTheBeginning(t *testing.T) {
	cfg := getty.Config{Limits: getty.Limits{MaxExpansion: 8}}
	cfg.WebSocket.Deflate.Enabled = true
	run, rest := strings.Repeat("0", 256<<10), noise(256<<10)
	for _, tr := range transports {
		if !isWebSocket(tr) {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			r := record()
			_, url := serve(t, tr, r, cfg, nil)
			must(t, dial(t, url, record(), cfg).Send(rest+run))
			if got := receive(t, r.messages, "message"); got != rest+run {
				t.Fatalf("a message of %d bytes came as one of %d", len(rest+run), len(got))
			}
			must(t, dial(t, url, record(), cfg).Send(run+rest))
			wantCause(t, receive(t, r.closed, "OnClose"), getty.ErrMessageTooLong)
		})
	}
}

// What cannot be compressed is no expansion, however large another encoder's frames are.
func TestMaxExpansionOfLargeFrames(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport) {
		r := record()
		_, url := serve(t, tr, r, getty.Config{
			MaxMessageSize: 1 << 20, Compression: getty.CompressZstd.Raw(), Limits: getty.Limits{MaxExpansion: 2},
		}, nil)
		nc := peer(t, url)
		w, err := zstd.NewWriter(nil)
		must(t, err)
		defer w.Close()
		for range 20 {
			text := noise(120 << 10)
			_, err := nc.Write(w.EncodeAll([]byte(text+"\n"), nil))
			must(t, err)
			if got := receive(t, r.messages, "message"); got != text {
				t.Fatalf("a message of %d bytes came as one of %d", len(text), len(got))
			}
		}
	})
}

// The widest bound bounds nothing that is honest, on 32-bit systems neither.
func TestTheWidestMaxExpansion(t *testing.T) {
	text := strings.Repeat("honest ", 64<<10)
	eachTransport(t, func(t *testing.T, tr transport) {
		cfg := getty.Config{Limits: getty.Limits{MaxExpansion: 1_000_000}}
		if isWebSocket(tr) {
			cfg.WebSocket.Deflate.Enabled = true
		} else {
			cfg.Compression = getty.CompressSnappy
		}
		r := record()
		_, url := serve(t, tr, r, cfg, nil)
		must(t, dial(t, url, echo, cfg).Send(text))
		if got := receive(t, r.messages, "message"); got != text {
			t.Errorf("a message of %d bytes came as one of %d", len(text), len(got))
		}
	})
}

func expands(t *testing.T, tr transport, cfg getty.Config, bomb string) {
	r := record()
	_, url := serve(t, tr, r, cfg, nil)
	sender := cfg
	sender.Limits = getty.Limits{}
	s := dial(t, url, echo, sender)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // it has to compress like text, no more
	for range 20 {
		var text strings.Builder
		for range 2000 {
			fmt.Fprintf(&text, "%x ", random.Uint32())
		}
		must(t, s.Send(text.String()))
		receive(t, r.messages, "message")
	}
	_ = s.Send(bomb)
	if cause := receive(t, r.closed, "OnClose"); !errors.Is(cause, getty.ErrMessageTooLong) {
		t.Errorf("it ended with %v, want ErrMessageTooLong", cause)
	}
	if len(r.messages) > 0 {
		t.Error("the bomb was delivered")
	}
}

// A session that ends does not go on expanding what nobody will see.
func TestDrainingDoesNotExpand(t *testing.T) {
	const size = 256 << 20
	for _, how := range []getty.Compression{getty.CompressFlate, getty.CompressZstd} {
		t.Run(how.String(), func(t *testing.T) {
			inVirtualStream(t, func(t *testing.T, v *virtual) {
				r := record()
				r.onMessage = func(s *session, _ string) error { return s.Close() }
				v.serve(t, r, getty.Config{Compression: how, CloseTimeout: time.Hour}, nil)
				nc := v.dial(t)
				z := getty.NewZipStream(how)
				_, err := nc.Write(append(how.Preamble(), z.Compress([]byte("end\n"))...))
				must(t, err)
				s := receive(t, r.opened, "OnOpen")
				ended(t, s.Done(), "end")
				chunk := z.Compress(make([]byte, 1<<20))
				for range size >> 20 {
					_, err := nc.Write(chunk)
					must(t, err)
				}
				synctest.Wait()
				if in := s.Stats().BytesIn; in > 1<<20 {
					t.Errorf("%d bytes were expanded", in)
				}
				must(t, nc.Close())
				synctest.Wait()
				wantCause(t, receive(t, r.closed, "OnClose"), nil)
			})
		})
	}
}
