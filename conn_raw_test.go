// SPDX-License-Identifier: Apache-2.0

//go:build linux && !getty_portable

package getty

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

// rawPair is a conn and its peer, whose writes are there when they return.
func rawPair(t *testing.T) (c conn, peer net.Conn) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "") //nolint:gosec // not negative
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ends[i].Close() })
	}
	c = newStreamConn(ends[0])
	if _, raw := c.(*rawConn); !raw {
		t.Fatalf("the conn is a %T", c)
	}
	return c, ends[1]
}

// TestReadTakesWhatWasSentTogether: what is there is read at once, however it
// compares with the sizes of buffers. A rest that is left for the next read is
// a batch of its own, with a write of its own, and the peer who answers both
// parts goes on in two parts for ever.
func TestReadTakesWhatWasSentTogether(t *testing.T) {
	c, peer := rawPair(t)
	var in window
	defer in.release()
	for _, size := range []int{1, 4 << 10, 4<<10 + 1, 16<<10 + 64, 16<<10 + 64, 100, 64<<10 + 1, 5 << 10} {
		if _, err := peer.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := c.read(&in); err != nil {
			t.Fatal(err)
		}
		if in.len() != size {
			t.Errorf("%d of %d bytes were read", in.len(), size)
		}
		in.used(in.len())
		in.park()
	}
}

// TestReadTellsTheEndAfterTheBytes: the end that a read came across while it
// went on is told by the next one, and then by each.
func TestReadTellsTheEndAfterTheBytes(t *testing.T) {
	c, peer := rawPair(t)
	var in window
	defer in.release()
	if _, err := peer.Write(make([]byte, readSizes[0])); err != nil {
		t.Fatal(err)
	}
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.read(&in); err != nil || in.len() != readSizes[0] {
		t.Fatalf("%d bytes, %v", in.len(), err)
	}
	for range 2 {
		if err := c.read(&in); !errors.Is(err, io.EOF) {
			t.Fatalf("the end is %v", err)
		}
	}
}
