// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// scriptedIO is a packetIO whose sends end as scripted, and then succeed.
type scriptedIO struct {
	packetIO
	errs  []error
	calls int
}

func (s *scriptedIO) send(_ *udpDest, p []byte) (packets, n int, err error) {
	s.calls++
	if len(s.errs) > 0 {
		err, s.errs = s.errs[0], s.errs[1:]
	}
	if err != nil {
		return 0, 0, err
	}
	_, n = record(p)
	return 1, n, nil
}

func scriptedPeer(t *testing.T, errs ...error) (*udpPeer, *scriptedIO) {
	ep := new(endpoint)
	if err := ep.init(Config{}, "Config"); err != nil {
		t.Fatal(err)
	}
	io := &scriptedIO{errs: errs}
	p := &udpPeer{sock: &udpSocket{ep: ep, peers: make(map[udpKey]*udpPeer)}, quit: make(chan struct{})}
	p.io, p.some.L = io, &p.mu
	p.bind(&core{ep: ep})
	return p, io
}

// A write that waits for room waits until there is some, or the end: the
// drainer takes its return for progress, and WriteTimeout begins anew.
func TestUDPWriteWaitsForRoom(t *testing.T) {
	var in window
	defer in.release()
	in.addRecord([]byte("one"))
	p, io := scriptedPeer(t, errAgain, errAgain, errAgain)
	if n, err := p.tryWrite(in.bytes()); n != 0 || err != errAgain {
		t.Fatalf("tryWrite: %d, %v", n, err)
	}
	if n, err := p.write(in.bytes()); n != in.len() || err != nil || io.calls != 4 {
		t.Fatalf("write: %d, %v after %d calls", n, err, io.calls)
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	if n, err := p.write(in.bytes()); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Fatalf("write after close: %d, %v", n, err)
	}
}

// What becomes of a packet that the kernel refuses, and of those behind it.
func TestUDPSendErrors(t *testing.T) {
	const size = recordHeader + 3
	for _, tc := range []struct {
		name       string
		errs       []error
		n          int // bytes done with
		err        error
		soft, lost int64
	}{
		{"refused once", []error{syscall.ECONNREFUSED}, 2 * size, nil, 1, 0},
		{"refused twice", []error{syscall.ECONNREFUSED, syscall.ECONNREFUSED}, 2 * size, nil, 2, 1},
		{"no buffers", []error{syscall.ENOBUFS}, 2 * size, nil, 1, 1},
		{"both too long", []error{syscall.EMSGSIZE, syscall.EMSGSIZE}, 2 * size, nil, 2, 2},
		{"second not permitted", []error{nil, syscall.EPERM}, 2 * size, nil, 1, 1},
		{"second waits", []error{nil, errAgain}, size, errAgain, 0, 0},
		{"closed", []error{nil, net.ErrClosed}, size, net.ErrClosed, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var in window
			defer in.release()
			in.addRecord([]byte("one"))
			in.addRecord([]byte("two"))
			p, _ := scriptedPeer(t, tc.errs...)
			n, err := p.tryWrite(in.bytes())
			if n != tc.n || !errors.Is(err, tc.err) {
				t.Errorf("%d bytes, %v; want %d, %v", n, err, tc.n, tc.err)
			}
			if st := p.count.stats(); st.SoftErrors != tc.soft || st.SendErrors != tc.lost {
				t.Errorf("statistics are %+v, want %d soft and %d lost", st, tc.soft, tc.lost)
			}
			if refused := p.c.refusal(0); (refused != nil) != (tc.lost > 0) {
				t.Errorf("the sender is told %v", refused)
			}
		})
	}
}
