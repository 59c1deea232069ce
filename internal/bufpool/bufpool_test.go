// SPDX-License-Identifier: Apache-2.0

package bufpool_test

import (
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/internal/bufpool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGetGivesTheNextPowerOfTwo(t *testing.T) {
	for _, tc := range []struct{ ask, want int }{
		{-1, bufpool.MinSize},
		{0, bufpool.MinSize},
		{1, bufpool.MinSize},
		{bufpool.MinSize, bufpool.MinSize},
		{bufpool.MinSize + 1, 2 * bufpool.MinSize},
		{4096, 4096},
		{4097, 8192},
		{bufpool.MaxSize - 1, bufpool.MaxSize},
		{bufpool.MaxSize, bufpool.MaxSize},
		{bufpool.MaxSize + 1, bufpool.MaxSize + 1},
		{3*bufpool.MaxSize + 7, 3*bufpool.MaxSize + 7},
	} {
		t.Run(fmt.Sprint(tc.ask), func(t *testing.T) {
			b := bufpool.Get(tc.ask)
			if len(b.B) != 0 || cap(b.B) < tc.want || cap(b.B) >= 2*tc.want {
				t.Fatalf("Get(%d) gave length %d and capacity %d, want 0 and about %d", tc.ask, len(b.B), cap(b.B), tc.want)
			}
		})
	}
}

// Whatever was put back, with whatever capacity its owner left it, a buffer
// that Get lends is empty and large enough.
func TestPutFilesByTheCapacityOfThatTime(t *testing.T) {
	sizes := []int{
		0, 1, bufpool.MinSize - 1, bufpool.MinSize, bufpool.MinSize + 1, 700, 1023, 1024, 1025, 5000,
		bufpool.MaxSize - 1, bufpool.MaxSize, bufpool.MaxSize + 1, 2*bufpool.MaxSize - 1, 2 * bufpool.MaxSize,
	}
	for range 4 {
		for _, size := range sizes {
			b := bufpool.Get(1)
			b.B = make([]byte, size) // grown, or cut, by its owner
			bufpool.Put(b)
		}
		for _, size := range sizes {
			b := bufpool.Get(size)
			if len(b.B) != 0 || cap(b.B) < size {
				t.Fatalf("Get(%d) gave length %d and capacity %d", size, len(b.B), cap(b.B))
			}
			// More than twice the class would hold memory that nobody asked for.
			if most := 2 * max(2*size, bufpool.MinSize); cap(b.B) > most {
				t.Fatalf("Get(%d) gave a capacity of %d", size, cap(b.B))
			}
		}
	}
}

func TestPutIgnoresWhatItCannotUse(t *testing.T) {
	bufpool.Put(nil)
	bufpool.Put(&bufpool.Buf{})
	bufpool.Put(&bufpool.Buf{B: make([]byte, bufpool.MinSize-1)})
	bufpool.Put(&bufpool.Buf{B: make([]byte, 64*bufpool.MaxSize)})
	for range 100 {
		if b := bufpool.Get(1); cap(b.B) < bufpool.MinSize || cap(b.B) >= 2*bufpool.MinSize {
			t.Fatalf("Get(1) gave a capacity of %d", cap(b.B))
		}
	}
	if b := bufpool.Get(bufpool.MaxSize); cap(b.B) >= 2*bufpool.MaxSize {
		t.Fatalf("a buffer of %d bytes was kept", cap(b.B))
	}
}

func TestGetReusesWhatWasPut(t *testing.T) {
	if bufpool.Debug {
		t.Skip("a *Buf is lent once")
	}
	// A sync.Pool may drop any single buffer, and does so under the race detector.
	for range 100 {
		b := bufpool.Get(4096)
		bufpool.Put(b)
		if bufpool.Get(4096) == b {
			return
		}
	}
	t.Fatal("no buffer came back in 100 tries")
}

// A buffer has one owner: nobody else finds his bytes in it.
func TestNoBufferIsLentTwice(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				b := bufpool.Get(1 + (i*37)%3000)
				b.B = append(b.B, byte(g), byte(i))
				if b.B[0] != byte(g) || b.B[1] != byte(i) {
					t.Errorf("bytes of another owner in the buffer of %d", g)
				}
				bufpool.Put(b)
			}
		})
	}
	wg.Wait()
}
