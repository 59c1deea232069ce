// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// feed puts data into the window, a read at a time.
func feed(in *window, data []byte) (reads int) {
	for len(data) > 0 {
		n := copy(in.space(), data)
		in.filled(n)
		data = data[n:]
		reads++
	}
	return reads
}

func held(in *window) int {
	if in.buf == nil {
		return 0
	}
	return cap(in.buf.B)
}

func TestWindowKeepsBytesInOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var in window
	var want []byte // what must be in the window
	next := byte(0)
	for range 2500 {
		switch rnd.IntN(4) {
		case 0, 1:
			space := in.space()
			if len(space) < cap(in.buf.B)/4 {
				t.Fatalf("space of %d bytes in a buffer of %d", len(space), cap(in.buf.B))
			}
			n := rnd.IntN(min(len(space), 10_000) + 1)
			for i := range n {
				space[i] = next
				want = append(want, next)
				next++
			}
			if n > 0 {
				in.filled(n)
			}
		case 2:
			n := rnd.IntN(in.len() + 1)
			if rnd.IntN(3) == 0 || n > 300_000 {
				n = in.len()
			}
			in.used(n)
			want = want[n:]
		default:
			in.park()
		}
		if in.len() != len(want) || !bytes.Equal(in.bytes(), want) {
			t.Fatalf("window has %d bytes, want %d, or others", in.len(), len(want))
		}
	}
	in.release()
	if in.len() != 0 || in.bytes() != nil {
		t.Error("window is not empty after release")
	}
}

func TestWindowHoldsNothingWhileItIsEmpty(t *testing.T) {
	var in window
	if in.park(); held(&in) != 0 || in.bytes() != nil {
		t.Error("a fresh window holds a buffer")
	}
	feed(&in, make([]byte, 100))
	in.used(100)
	if in.park(); held(&in) != 0 {
		t.Errorf("an empty window holds %d bytes", held(&in))
	}
}

func TestWindowGrowsWithWhatHasArrived(t *testing.T) {
	var in window
	defer in.release()
	most := readSizes[len(readSizes)-1]
	for n := 0; n < 4<<20; n += 1000 {
		feed(&in, make([]byte, 1000))
		if got, limit := held(&in), max(most, 4*in.len()); got > limit {
			t.Fatalf("%d bytes arrived, %d are held, want at most %d", in.len(), got, limit)
		}
	}
	in.used(in.len())
	if in.park(); held(&in) != 0 {
		t.Errorf("an empty window holds %d bytes", held(&in))
	}
}

func TestWindowShrinksAroundTheRest(t *testing.T) {
	var in window
	defer in.release()
	feed(&in, make([]byte, 60<<10))
	feed(&in, []byte("rest"))
	in.used(in.len() - len("rest"))
	in.park()
	if string(in.bytes()) != "rest" {
		t.Fatalf("window has %q", in.bytes())
	}
	if got := held(&in); got > readSizes[0] {
		t.Errorf("%d bytes are held for a rest of 4", got)
	}
}

func TestWindowReadsFollowTheTraffic(t *testing.T) {
	var in window
	defer in.release()
	first := feed(&in, make([]byte, 256<<10))
	in.used(in.len())
	in.release()
	for range len(readSizes) {
		feed(&in, make([]byte, 2*readSizes[len(readSizes)-1]))
		in.used(in.len())
		in.park()
	}
	if got := len(in.space()); got != readSizes[len(readSizes)-1] {
		t.Errorf("under load a read has room for %d bytes, want %d", got, readSizes[len(readSizes)-1])
	}
	in.park()
	for range len(readSizes) {
		feed(&in, make([]byte, 10))
		in.used(10)
		in.park()
	}
	if got := len(in.space()); got != readSizes[0] {
		t.Errorf("with little traffic a read has room for %d bytes, want %d", got, readSizes[0])
	}
	if first < 4 {
		t.Errorf("the first 256 KiB took %d reads: that much was held for a fresh session", first)
	}
}
