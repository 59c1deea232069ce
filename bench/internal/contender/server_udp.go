// SPDX-License-Identifier: Apache-2.0

package contender

import "net"

// udpServer is plain net: it knows no sessions, and answers each packet with a write.
type udpServer struct{ *net.UDPConn }

func startUDPNet(Options) (Server, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	if err := c.SetReadBuffer(udpBuffer); err != nil {
		return nil, err
	}
	go udpServer{c}.serve()
	return udpServer{c}, nil
}

func (s udpServer) serve() {
	buf := make([]byte, 64<<10)
	for {
		n, peer, err := s.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		_, _ = s.WriteToUDPAddrPort(buf[:n], peer) // packets get lost
	}
}

func (s udpServer) Addr() net.Addr { return s.LocalAddr() }

// freeUDPPort is freePort for UDP.
func freeUDPPort() (*net.UDPAddr, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr), nil
}
