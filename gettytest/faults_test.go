// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty/gettytest"
)

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipe(t, gettytest.Faults{Latency: time.Hour})
		start := time.Now()
		_, err := client.Write([]byte("one"))
		check(t, err)
		if d := time.Since(start); d != 0 {
			t.Errorf("Write waited for %v", d)
		}
		time.Sleep(time.Minute)
		_, err = client.Write([]byte("two"))
		check(t, err)
		check(t, client.CloseWrite())
		p := make([]byte, 10)
		for _, want := range []struct {
			text string
			at   time.Duration
			err  error
		}{
			{"one", time.Hour, nil},
			{"two", time.Hour + time.Minute, nil},
			{"", time.Hour + time.Minute, io.EOF},
		} {
			n, err := server.Read(p)
			if string(p[:n]) != want.text || !errors.Is(err, want.err) || time.Since(start) != want.at {
				t.Errorf("Read = %q, %v after %v, want %+v", p[:n], err, time.Since(start), want)
			}
		}
	})
}

func TestJitterKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipe(t, gettytest.Faults{Latency: time.Second, Jitter: time.Minute})
		start := time.Now()
		var want []byte
		for i := range 100 {
			want = append(want, byte(i))
			_, err := client.Write(want[i:])
			check(t, err)
		}
		check(t, client.CloseWrite())
		got, err := io.ReadAll(server)
		check(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("got %v", got)
		}
		if d := time.Since(start); d < 30*time.Second || d > time.Minute+time.Second {
			t.Errorf("the last of 100 took %v", d)
		}
	})
}

func TestMaxRead(t *testing.T) {
	client, server := pipe(t, gettytest.Faults{MaxRead: 3})
	_, err := client.Write(make([]byte, 300))
	check(t, err)
	check(t, client.Close())
	sizes := readSizes(t, server)
	for size := 1; size <= 3; size++ {
		if !slices.Contains(sizes, size) {
			t.Errorf("no Read of %d bytes", size)
		}
	}
	if slices.Max(sizes) > 3 {
		t.Errorf("a Read of %d bytes", slices.Max(sizes))
	}
}

// readSizes reads to the end of the stream and returns what each Read gave.
func readSizes(t *testing.T, c *gettytest.Conn) (sizes []int) {
	t.Helper()
	p := make([]byte, 1024)
	for {
		n, err := c.Read(p)
		if errors.Is(err, io.EOF) {
			return sizes
		}
		check(t, err)
		sizes = append(sizes, n)
	}
}

func TestMaxWrite(t *testing.T) {
	client, server := pipe(t, gettytest.Faults{MaxWrite: 4})
	for range 3 {
		_, err := client.Write(make([]byte, 100))
		check(t, err)
	}
	check(t, client.Close())
	sizes := readSizes(t, server)
	total := 0
	for _, n := range sizes {
		// The last piece of a write and the first of the next arrive together.
		if total += n; n > 8 {
			t.Errorf("a Read of %d bytes", n)
		}
	}
	if total != 300 || len(sizes) < 300/4 {
		t.Errorf("%d bytes in %d pieces", total, len(sizes))
	}
}

func TestWritesArriveTogetherWithoutMaxWrite(t *testing.T) {
	client, server := pipe(t, gettytest.Faults{})
	for range 3 {
		_, err := client.Write(make([]byte, 100))
		check(t, err)
	}
	check(t, client.Close())
	if sizes := readSizes(t, server); !slices.Equal(sizes, []int{300}) {
		t.Errorf("Reads of %v bytes", sizes)
	}
}

// TestSeed runs the same exchange over and over, with goroutines that the
// scheduler interleaves as it likes.
func TestSeed(t *testing.T) {
	run := func(seed uint64) string {
		var log [2]string
		synctest.Test(t, func(t *testing.T) {
			client, server := pipe(t, gettytest.Faults{
				Seed: seed, Latency: time.Second, Jitter: time.Second, MaxRead: 100, MaxWrite: 100, Buffer: 150,
			})
			var wg sync.WaitGroup
			for i, c := range []*gettytest.Conn{client, server} {
				wg.Go(func() {
					for range 5 {
						_, _ = c.Write(make([]byte, 300))
					}
					_ = c.CloseWrite()
				})
				wg.Go(func() {
					start, p := time.Now(), make([]byte, 200)
					for {
						n, err := c.Read(p)
						log[i] += fmt.Sprintln(n, time.Since(start))
						if err != nil {
							return
						}
					}
				})
			}
			wg.Wait()
		})
		return log[0] + log[1]
	}
	first := run(7)
	for range 3 {
		if again := run(7); again != first {
			t.Fatalf("the same seed gave\n%s\nand then\n%s", first, again)
		}
	}
	if run(8) == first {
		t.Error("another seed gave the same faults")
	}
}

func TestBufferStopsWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipe(t, gettytest.Faults{Buffer: 10})
		done := false
		go func() {
			n, err := client.Write(make([]byte, 25))
			if n != 25 || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
			done = true
		}()
		for _, want := range []int{10, 10, 5} {
			synctest.Wait()
			if done != (want == 5) {
				t.Errorf("Write has ended: %v", done)
			}
			if n, err := server.Read(make([]byte, 100)); n != want || err != nil {
				t.Errorf("Read = %d, %v, want %d", n, err, want)
			}
		}
	})
}

func TestWriteTimeoutTellsWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pipe(t, gettytest.Faults{Buffer: 10})
		check(t, client.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := client.Write(make([]byte, 25))
		if n != 10 {
			t.Errorf("wrote %d bytes into a buffer of 10", n)
		}
		wantTimeout(t, err)
	})
}

func TestResetAfter(t *testing.T) {
	for _, pieces := range []int{0, 7} {
		bubble(t, fmt.Sprint("MaxWrite=", pieces), func(t *testing.T) {
			client, server := pipe(t, gettytest.Faults{ResetAfter: 100, MaxWrite: pieces, Latency: time.Second})
			if n, err := client.Write(make([]byte, 90)); n != 90 || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
			_, err := server.Write(make([]byte, 50)) // the directions count for themselves
			check(t, err)
			n, err := client.Write(make([]byte, 90))
			if n != 10 {
				t.Errorf("wrote %d more bytes, want 10", n)
			}
			wantErr(t, "writer's Write", err, syscall.ECONNRESET)
			_, err = client.Read(make([]byte, 100))
			wantErr(t, "writer's Read", err, syscall.ECONNRESET)

			got, err := io.ReadAll(server)
			if len(got) != 100 {
				t.Errorf("read %d bytes, want 100", len(got))
			}
			wantErr(t, "reader's Read", err, syscall.ECONNRESET)
			_, err = server.Write([]byte("x"))
			wantErr(t, "reader's Write", err, syscall.ECONNRESET)
		})
	}
}

func TestNegativeFaultsAreNone(t *testing.T) {
	client, server := pipe(t, gettytest.Faults{Latency: -1, Jitter: -1, MaxRead: -1, MaxWrite: -1, Buffer: -1, ResetAfter: -1})
	_, err := client.Write(make([]byte, 1000))
	check(t, err)
	if n, err := server.Read(make([]byte, 2000)); n != 1000 || err != nil {
		t.Errorf("Read = %d, %v", n, err)
	}
}
