// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/gettytest"
)

// D41: what was sent stayed inside the compressor until more followed.
func TestD41EveryFlushCanBeDecodedAtOnce(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport) {
		eachZip(t, zipAll, func(t *testing.T, how getty.Compression) {
			_, url := serve(t, tr, echo, zipConfig(how), nil)
			r := record()
			s := dial(t, url, r, zipConfig(how))
			for i := range 200 {
				want := fmt.Sprint("message ", i)
				must(t, s.Send(want)) // nothing follows it until the answer has come
				if got := receive(t, r.messages, "answer"); got != want {
					t.Fatalf("answer to %q is %q", want, got)
				}
			}
		})
	})
}

// D41: batches went around the compressor. All of the ways to send are one.
func TestD41AllSendsTakeOneWay(t *testing.T) {
	eachZipStream(t, zipAll, func(t *testing.T, tr transport, how getty.Compression) {
		r := record()
		r.onOpen = func(s *session) error {
			p, err := s.Prepare("prepared")
			if err != nil {
				return err
			}
			return errors.Join(
				s.Send("sent"), s.SendFrame(s.Context(), []byte("frame\n")),
				s.SendPrepared(s.Context(), p), s.TrySend("tried"), s.Flush())
		}
		nc := zipServe(t, tr, r, zipConfig(how))
		const want = "sent\nframe\nprepared\ntried\n"
		got := make([]byte, len(want))
		_, err := io.ReadFull(nc, got)
		must(t, err)
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// D42: deadlines were latched by the compressor, and the session spun or hung.
func TestD42IdleTimeoutUnderCompression(t *testing.T) {
	eachZip(t, zipPlain, func(t *testing.T, how getty.Compression) {
		inVirtualStream(t, func(t *testing.T, v *virtual) {
			r := record()
			cfg := zipConfig(how)
			cfg.IdleTimeout = time.Minute
			v.serve(t, r, cfg, nil)
			nc := zipPeer(t, v.dial(t), how)
			for range 3 {
				time.Sleep(50 * time.Second)
				write(t, nc, "still here\n")
				<-r.messages
			}
			v.wantEndAt(t, r, v.since()+time.Minute, getty.ErrIdle)
		})
	})
}

func TestD42WriteTimeoutUnderCompression(t *testing.T) {
	eachZip(t, zipPlain, func(t *testing.T, how getty.Compression) {
		inVirtualStream(t, func(t *testing.T, v *virtual) {
			v.SetFaults(gettytest.Faults{Buffer: 4 << 10})
			r := record()
			cfg := zipConfig(how)
			cfg.WriteTimeout = 10 * time.Second
			v.serve(t, r, cfg, nil)
			zipPeer(t, v.dial(t), how) // which reads nothing any more
			s := receive(t, r.opened, "OnOpen")
			must(t, s.Send(zipTexts()[4]))
			v.wantEndAt(t, r, v.since()+10*time.Second, getty.ErrWriteTimeout)
		})
	})
}

// A peer that is slow, but not stalled, is waited for however long it takes,
// although no message, and no block, gets through within WriteTimeout.
func TestD42SlowIsNotStalled(t *testing.T) {
	eachZip(t, zipPlain, func(t *testing.T, how getty.Compression) {
		inVirtualStream(t, func(t *testing.T, v *virtual) {
			v.SetFaults(gettytest.Faults{Buffer: 4 << 10})
			r := record()
			cfg := zipConfig(how)
			cfg.WriteTimeout = 10 * time.Second
			v.serve(t, r, cfg, nil)
			nc := zipPeer(t, v.dial(t), how).Conn
			s := receive(t, r.opened, "OnOpen")
			text := zipTexts()[4]
			must(t, s.Send(text))
			buf := make([]byte, 8<<10)
			for got := 0; got < len(text)/2; {
				time.Sleep(2 * time.Second)
				n, err := nc.Read(buf)
				must(t, err)
				got += n
			}
			wantOpen(t, r)
		})
	})
}

// zipBomb is a valid stream of a few KiB that expands to 32 MiB of one line.
func zipBomb(t testing.TB, how getty.Compression) []byte {
	t.Helper()
	const size, step = 32 << 20, 64 << 10
	zeros := bytes.Repeat([]byte{'0'}, step)
	if how.Raw() == getty.CompressFlate.Raw() {
		var out bytes.Buffer // a single block is smaller still
		w, err := flate.NewWriter(&out, flate.BestSpeed)
		must(t, err)
		for range size / step {
			_, err := w.Write(zeros)
			must(t, err)
		}
		must(t, w.Flush())
		return out.Bytes()
	}
	z := getty.NewZipStream(how)
	defer z.Drop()
	var out []byte
	for range size / step {
		out = append(out, z.Compress(zeros)...)
	}
	return out
}

// D43: a small input expanded without limit.
func TestD43ABombIsNoLargerThanTheLimit(t *testing.T) {
	eachZip(t, zipAll, func(t *testing.T, how getty.Compression) {
		bomb := zipBomb(t, how)
		eachStream(t, func(t *testing.T, tr transport) {
			r := record()
			cfg := zipConfig(how)
			cfg.MaxMessageSize, cfg.CloseTimeout = 100<<10, time.Millisecond // what is discarded is expanded, too
			nc := zipServe(t, tr, r, cfg)
			runtime.GC()
			before := zipAllocated()
			_, _ = nc.Conn.Write(bomb)
			wantEnd(t, r, getty.ErrMessageTooLong)
			if got := zipAllocated() - before; got > 16<<20 { // the race detector's pools lose what is given back
				t.Errorf("%d KiB became %d KiB of memory", len(bomb)>>10, got>>10)
			}
		})
	})
}

// What expands a lot is looked at before there is much of it: here that a message is too long.
func TestD43ABombIsLookedAtEarly(t *testing.T) {
	eachZip(t, zipAll, func(t *testing.T, how getty.Compression) {
		bomb := zipBomb(t, how)
		eachStream(t, func(t *testing.T, tr transport) {
			r := record()
			cfg := zipConfig(how)
			cfg.MaxMessageSize, cfg.CloseTimeout = 1<<10, time.Millisecond
			nc := zipServe(t, tr, r, cfg)
			s := receive(t, r.opened, "OnOpen")
			_, _ = nc.Conn.Write(bomb)
			wantEnd(t, r, getty.ErrMessageTooLong)
			if got := s.Stats().BytesIn; got > 64<<10 {
				t.Errorf("%d KiB became %d KiB for a message of 1 KiB", len(bomb)>>10, got>>10)
			}
		})
	})
}

// The same for a session that takes the messages, which are small, slowly: what
// has not been taken stays compressed.
func TestD43ABombIsExpandedAsItIsTaken(t *testing.T) {
	eachZipStream(t, zipAll, func(t *testing.T, tr transport, how getty.Compression) {
		hold := newGate(t)
		var first atomic.Bool
		seen := make(chan struct{})
		r := funcs{Message: func(*session, string) error {
			if first.CompareAndSwap(false, true) {
				close(seen)
				hold.wait()
			}
			return errors.New("enough")
		}}
		nc := zipServe(t, tr, r, zipConfig(how))
		z := getty.NewZipStream(how)
		defer z.Drop()
		var bomb []byte
		for range 32 {
			bomb = append(bomb, z.Compress([]byte(strings.Repeat("0123456789\n", 1<<20/11)))...)
		}
		runtime.GC()
		before := zipAllocated()
		sent := make(chan struct{})
		go func() {
			_, _ = nc.Conn.Write(bomb)
			close(sent)
		}()
		ended(t, seen, "first message")
		if got := zipAllocated() - before; got > 8<<20 {
			t.Errorf("%d KiB became %d KiB of memory", len(bomb)>>10, got>>10)
		}
		hold.open()
		ended(t, sent, "end of sending")
	})
}

// zipAllocated is what has been allocated so far, given back or not.
func zipAllocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// What a block announces is checked before anything is allocated for it.
func TestD43AnnouncedSizesAreChecked(t *testing.T) {
	big := snappy.Encode(nil, make([]byte, 1<<20))
	for name, tc := range map[string]struct {
		how  getty.Compression
		data string
	}{
		"snappy chunk":     {getty.CompressSnappy, "\xff\x06\x00\x00sNaPpY\x00\xff\xff\xff"},
		"snappy plaintext": {getty.CompressSnappy, "\xff\x06\x00\x00sNaPpY\x00" + string([]byte{byte(len(big) + 4), byte((len(big) + 4) >> 8), 0}) + "1234" + string(big)},
		"snappy no head":   {getty.CompressSnappy, "\x01\x05\x00\x001234x"},
		"zstd content":     {getty.CompressZstd, "\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x40"},
		"zstd block":       {getty.CompressZstd, "\x28\xb5\x2f\xfd\x00\x58\xf8\xff\xff"},
		"zstd skippable":   {getty.CompressZstd, "\x50\x2a\x4d\x18\x00\x00\x00\x40"},
		"zstd RLE":         {getty.CompressZstd, "\x28\xb5\x2f\xfd\x00\x58" + strings.Repeat("\x02\x00\x10x", 9) + "\x03\x00\x10x"},
	} {
		t.Run(name, func(t *testing.T) {
			eachStream(t, func(t *testing.T, tr transport) {
				r := record()
				nc := zipServe(t, tr, r, zipConfig(tc.how))
				before := zipAllocated()
				write(t, nc.Conn, tc.data)
				zipWantMismatch(t, receive(t, r.closed, "OnClose"), tc.how.String())
				if got := zipAllocated() - before; got > 4<<20 {
					t.Errorf("%d KiB of memory", got>>10)
				}
			})
		})
	}
}
