// SPDX-License-Identifier: Apache-2.0

package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// checker verifies what comes back on one connection.
type checker interface {
	// Consume returns how many messages data completed.
	Consume(data []byte) (messages int, err error)
	// Received returns how many there have been.
	Received() uint64
}

// conn is one connection, as a bare non-blocking descriptor.
type conn struct {
	fd    int
	check checker
	tls   *tls.Conn // nil for plain TCP
	shim  *shim

	next   uint64 // sequence number of the first frame that has not been asked for yet
	off    uint64 // bytes of the stream that the kernel has accepted, plain TCP only
	polled bool   // EPOLLOUT is armed
	sent   []time.Time
}

func dial(cfg Config, check checker) (*conn, error) {
	nc, err := net.Dial("tcp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	defer nc.Close() // the loop keeps a duplicate that the runtime does not poll
	c := &conn{check: check}
	if cfg.TLS {
		c.shim = &shim{Conn: nc}
		// The server of the benchmark makes its certificate up at start; who it is does not matter here.
		c.tls = tls.Client(c.shim, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // its peer is on this machine
		if err := c.tls.Handshake(); err != nil {
			return nil, fmt.Errorf("handshake: %w", err)
		}
	}
	if cfg.WebSocket {
		if err := c.upgrade(nc, cfg); err != nil {
			return nil, fmt.Errorf("upgrade: %w", err)
		}
	}
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var dupErr error
	err = raw.Control(func(fd uintptr) {
		c.fd, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, dupErr); err != nil {
		return nil, err
	}
	if c.shim != nil {
		c.shim.fd, c.shim.direct = c.fd, true
	}
	return c, nil
}

// shim stands under a tls.Conn. During the handshake it is the net.Conn; afterwards it reads without blocking and
// collects what is written, so that the records of one batch leave in one system call.
type shim struct {
	net.Conn
	fd     int
	direct bool
	out    []byte
}

// errEmpty tells tls.Conn that nothing has arrived. It is temporary, or tls.Conn would fail for good.
type errEmpty struct{}

func (errEmpty) Error() string   { return "nothing to read" }
func (errEmpty) Timeout() bool   { return true }
func (errEmpty) Temporary() bool { return true }

func (s *shim) Read(p []byte) (int, error) {
	if !s.direct {
		return s.Conn.Read(p)
	}
	n, err := read(s.fd, p)
	switch {
	case err != nil:
		return 0, err
	case n < 0:
		return 0, errEmpty{}
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (s *shim) Write(p []byte) (int, error) {
	if !s.direct {
		return s.Conn.Write(p)
	}
	s.out = append(s.out, p...)
	return len(p), nil
}

// read is read(2) without the scheduler's bookkeeping, which the descriptor's being non-blocking makes needless.
// It returns -1 when there is nothing.
func read(fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))) //nolint:gosec // as the system call wants it
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return -1, nil
	}
	return 0, os.NewSyscallError("read", errno)
}

// write is write(2) in the manner of read; it returns 0 when the kernel has no room.
func write(fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))) //nolint:gosec // as the system call wants it
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	}
	return 0, os.NewSyscallError("write", errno)
}
