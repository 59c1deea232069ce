// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64) && !getty_portable

package getty_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// udpWildcard starts an echo on all addresses and returns its port.
func udpWildcard(t testing.TB, url string) (srv *getty.Server[string], port int) {
	t.Helper()
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{})
	must(t, err)
	must(t, srv.Listen(url))
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	return srv, srv.Addrs()[0].(*net.UDPAddr).Port
}

// Answers leave from the address that was asked, and each address has a session
// of its own for the same peer.
func TestUDPAnswersFromTheAskedAddress(t *testing.T) {
	for _, url := range []string{"udp://:0", "udp://0.0.0.0:0"} {
		t.Run(url, func(t *testing.T) {
			srv, port := udpWildcard(t, url)
			pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 3)})
			must(t, err)
			defer pc.Close()
			must(t, pc.SetDeadline(time.Now().Add(limit)))
			buf := make([]byte, 100)
			for _, last := range []byte{1, 2, 1} {
				to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, last), Port: port}
				_, err = pc.WriteTo([]byte("hello\n"), to)
				must(t, err)
				n, from, err := pc.ReadFrom(buf)
				must(t, err)
				if string(buf[:n]) != "hello\n" || from.String() != to.String() {
					t.Errorf("answer %q from %v, want it from %v", buf[:n], from, to)
				}
			}
			locals := map[string]bool{}
			for s := range srv.Sessions() {
				locals[s.LocalAddr().String()] = true
			}
			for _, want := range []string{"127.0.0.1", "127.0.0.2"} {
				if !locals[fmt.Sprintf("%s:%d", want, port)] || len(locals) != 2 {
					t.Errorf("local addresses are %v, want %s among two", locals, want)
				}
			}
		})
	}
}

// A link-local peer has a zone, and gets its answers.
func TestUDPZones(t *testing.T) {
	var found *net.UDPAddr
	ifis, err := net.Interfaces()
	must(t, err)
	for _, ifi := range ifis {
		addrs, err := ifi.Addrs()
		must(t, err)
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() == nil && n.IP.IsLinkLocalUnicast() {
				found = &net.UDPAddr{IP: n.IP, Zone: ifi.Name}
			}
		}
	}
	if found == nil {
		t.Skip("no link-local address here")
	}
	srv, port := udpWildcard(t, "udp://:0")
	nc, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: found.IP, Zone: found.Zone, Port: port})
	must(t, err)
	defer nc.Close()
	must(t, nc.SetDeadline(time.Now().Add(limit)))
	udpWantEcho(t, nc, "hello\n")
	if a := udpOnly(t, srv).RemoteAddr().(*net.UDPAddr); a.Zone == "" {
		t.Errorf("remote address %v has no zone", a)
	}
}

// A group is joined on the interface that the URL names.
func TestUDPMulticast(t *testing.T) {
	r := record()
	r.onMessage = func(s *session, m string) error { return s.Send("got " + m) }
	srv, err := getty.NewServer(codec.Line{}, r, getty.Config{})
	must(t, err)
	if err := srv.Listen("udp://239.77.1.2:0?interface=lo"); err != nil {
		t.Skip("no multicast here:", err)
	}
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	port := srv.Addrs()[0].(*net.UDPAddr).Port
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer pc.Close()
	must(t, pc.SetDeadline(time.Now().Add(limit)))
	rc, err := pc.SyscallConn()
	must(t, err)
	must(t, rc.Control(func(fd uintptr) {
		err = syscall.SetsockoptInet4Addr(int(fd), syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, [4]byte{127, 0, 0, 1})
	}))
	must(t, err)
	if _, err = pc.WriteTo([]byte("hello\n"), &net.UDPAddr{IP: net.IPv4(239, 77, 1, 2), Port: port}); err != nil {
		t.Skip("no multicast here:", err)
	}
	buf := make([]byte, 100)
	n, from, err := pc.ReadFrom(buf)
	must(t, err)
	if string(buf[:n]) != "got hello\n" || from.(*net.UDPAddr).IP.IsMulticast() {
		t.Errorf("answer %q from %v", buf[:n], from)
	}
	if err := srv.Listen("udp://239.77.1.2:0?interface=nonesuch"); err == nil {
		t.Error("an interface that is none was accepted")
	}
	if err := srv.Listen("udp://127.0.0.1:0?interface=lo"); err == nil {
		t.Error("an interface without a group was accepted")
	}
}

// The zone of a group is the interface that it is joined on.
func TestUDPMulticastZone(t *testing.T) {
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{})
	must(t, err)
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	for url, want := range map[string]string{
		"udp://[ff02::4d:1%nonesuch]:0":        "no such network interface",
		"udp://[ff02::4d:1%lo]:0?interface=x0": "is not the interface",
	} {
		if err := srv.Listen(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

// A socket that somebody else has used may still put packets together.
func TestUDPGROOfBefore(t *testing.T) {
	const levelUDP, gro = 17, 104
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	rc, err := pc.SyscallConn()
	must(t, err)
	must(t, rc.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), levelUDP, gro, 1) }))
	if err != nil {
		t.Skip("no GRO here:", err)
	}
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{UDP: getty.UDP{NoOffload: true}})
	must(t, err)
	go func() { _ = srv.ServePacket(pc) }()
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	udpWantEcho(t, udpPeer(t, pc.LocalAddr().String()), "hello\n")
	on := 1
	must(t, rc.Control(func(fd uintptr) { on, err = syscall.GetsockoptInt(int(fd), levelUDP, gro) }))
	if err != nil || on != 0 {
		t.Errorf("UDP_GRO is %d, %v", on, err)
	}
}

// What the path does not let through is the sender's error, too. Nothing leaves:
// the kernel knows the limit of the first link.
func TestUDPTooLongForThePath(t *testing.T) {
	cfg := getty.Config{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, syscall.IP_PMTUDISC_DO)
		})
		return errors.Join(cerr, err)
	}}
	s, err := getty.Dial(within(t), "udp://192.0.2.1:9", codec.Line{}, record(), cfg)
	if err != nil {
		t.Skip("no route here:", err)
	}
	defer s.Close()
	err = s.Send(strings.Repeat("x", 65000))
	if errors.Is(err, syscall.ENETUNREACH) || err == nil {
		t.Skip("no link with a limit here:", err)
	}
	if !errors.Is(err, getty.ErrPacketTooLong) || !getty.SafeToRetry(err) {
		t.Errorf("the error is %v", err)
	}
	select {
	case <-s.Done():
		t.Error("the session has ended")
	default:
	}
	if st := s.Stats(); st.UDP.SendErrors != 1 || st.BytesOut != 0 || st.Pending != 0 {
		t.Errorf("statistics are %+v", st)
	}
}
