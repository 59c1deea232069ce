// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/dubbo-getty"
)

// control does something with the socket of a session.
func control(t *testing.T, s getty.Session, do func(fd int) error) {
	t.Helper()
	raw, err := s.Conn().(*net.UDPConn).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { must(t, do(int(fd))) }))
}

// wantHeard sends a packet, which the recorder of the endpoint has to get.
func wantHeard(t *testing.T, addr string, r *recorder) {
	t.Helper()
	nc, err := net.Dial("udp", addr)
	must(t, err)
	defer nc.Close()
	_, err = nc.Write([]byte("hello\n"))
	must(t, err)
	receive(t, r.messages, "message")
}

// TestD38ReadErrors of a UDP endpoint are logged, and pass.
func TestD38ReadErrors(t *testing.T) {
	m, r := remembered(t), record()
	_, addr := udpServe(t, with(r))
	s := receive(t, r.opened, "session")
	control(t, s, func(fd int) error { return syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_RECVERR, 1) })
	nobody, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	nobody.Close()
	for range 3 {
		// What is sent to a port that is closed comes back as an error of reading.
		_, _, _ = s.WritePkg(getty.UDPContext{Pkg: "x", PeerAddr: nobody.LocalAddr().(*net.UDPAddr)}, 0)
	}
	eventually(t, "a warning", func() bool {
		log := m.text()
		return strings.Contains(log, "warn") && strings.Contains(log, "connection refused")
	})
	wantHeard(t, addr, r)
	wantNone(t, r.errs, "OnError")
}

// TestUDPReaderRests: neither the user's deadline nor a socket that always fails
// keeps its reader busy.
func TestUDPReaderRests(t *testing.T) {
	m, r := remembered(t), record()
	s, addr := udpServe(t, with(r))
	ss := receive(t, r.opened, "session")
	must(t, ss.Conn().SetReadDeadline(time.Now()))
	time.Sleep(quiet)
	before := busy(t)
	time.Sleep(quiet)
	if used := busy(t) - before; used > quiet/4 {
		t.Errorf("with a deadline it is busy for %v of %v", used, quiet)
	}
	wantHeard(t, addr, r)

	file, err := os.Open(os.DevNull)
	must(t, err)
	defer file.Close()
	control(t, ss, func(fd int) error { return syscall.Dup3(int(file.Fd()), fd, syscall.O_CLOEXEC) })
	must(t, ss.Conn().SetReadDeadline(time.Now())) // it is waiting for the socket that is gone
	eventually(t, "a warning", func() bool { return strings.Contains(m.text(), "non-socket") })
	lines := strings.Count(m.text(), "non-socket")
	time.Sleep(quiet)
	if lines = strings.Count(m.text(), "non-socket") - lines; lines > 20 {
		t.Errorf("%d failed reads in %v", lines, quiet)
	}
	s.Close()
	receive(t, r.closed, "OnClose")
}

// busy is the time that this process has computed.
func busy(t *testing.T) time.Duration {
	t.Helper()
	var use syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
