// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64) && !getty_portable

package getty_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// sendAsOne has the kernel take data apart into packets of size bytes (UDP_SEGMENT),
// which reach sockets on loopback as one if they ask for it.
func sendAsOne(t testing.TB, uc *net.UDPConn, data []byte, size uint16) {
	t.Helper()
	const udpSegment = 103
	control := make([]byte, syscall.CmsgSpace(2))
	binary.NativeEndian.PutUint64(control, uint64(syscall.CmsgLen(2)))
	binary.NativeEndian.PutUint32(control[8:], syscall.IPPROTO_UDP)
	binary.NativeEndian.PutUint32(control[12:], udpSegment)
	binary.NativeEndian.PutUint16(control[syscall.SizeofCmsghdr:], size)
	_, _, err := uc.WriteMsgUDP(data, control, nil)
	must(t, err)
}

// What is received as one is taken apart where it was put together, on servers
// and clients, and with every setting.
func TestUDPPacketsThatComeAsOne(t *testing.T) {
	for name, cfg := range map[string]getty.UDP{
		"GRO": {}, "small buffers": {MaxPacketSize: 2000}, "one at a time": {Batch: 1}, "NoOffload": {NoOffload: true},
	} {
		t.Run(name, func(t *testing.T) {
			const size = 100
			var want []string
			var data []byte
			for i := range 20 {
				line := fmt.Sprintf("%03d%s", i, strings.Repeat("x", size-4))
				if i == 19 {
					line = "the last one is shorter"
				}
				want = append(want, line)
				data = append(data, line+"\n"...)
			}
			check := func(r *recorder) {
				t.Helper()
				for _, line := range want {
					if m := receive(t, r.messages, "message"); m != line {
						t.Fatalf("message %.30q, want %.30q", m, line)
					}
				}
			}
			r := record()
			srv, err := getty.NewServer(codec.Line{}, r, getty.Config{UDP: cfg})
			must(t, err)
			must(t, srv.Listen("udp://127.0.0.1:0"))
			defer func() { must(t, srv.Shutdown(within(t))) }()
			addr := srv.Addrs()[0].(*net.UDPAddr)
			uc, err := net.DialUDP("udp4", nil, addr)
			must(t, err)
			defer uc.Close()
			_, err = uc.Write([]byte("open\n"))
			must(t, err)
			receive(t, r.messages, "first message")
			sendAsOne(t, uc, data, size)
			check(r)
			reaches(t, int64(len(want))+1, "the number of messages", func() int64 { return srv.Stats().MessagesIn }) // after their callbacks
			if st := srv.Stats(); st.UDP.Spoiled != 0 || st.UDP.Truncated != 0 {
				t.Errorf("the statistics are %+v", st)
			}

			peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			must(t, err)
			cr := record()
			s := dial(t, "udp://"+peer.LocalAddr().String(), cr, getty.Config{UDP: cfg})
			local := s.LocalAddr().(*net.UDPAddr)
			port := peer.LocalAddr().(*net.UDPAddr)
			must(t, peer.Close())
			back, err := net.DialUDP("udp4", port, local)
			must(t, err)
			defer back.Close()
			sendAsOne(t, back, data, size)
			check(cr)
		})
	}
}
