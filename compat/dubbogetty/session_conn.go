// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"net"
	"time"
)

func (s *session) ID() uint32 {
	if s.link() == nil {
		return 0
	}
	return s.id
}

func (s *session) SetCompressType(how CompressType) {
	l := s.link()
	if l == nil {
		return
	}
	kind := s.ep.kind
	switch how {
	case CompressNone, CompressZip, CompressBestSpeed, CompressBestCompression, CompressHuffman:
	case CompressSnappy:
		if kind.isWebSocket() {
			panic("getty: SetCompressType: WebSocket has no snappy")
		}
	default:
		panic(fmt.Sprintf("getty: SetCompressType: there is no type %d", how))
	}
	s.change(func(n *settings) { n.compress = compression{true, how} })
}

func (s *session) LocalAddr() string {
	return s.address(net.Conn.LocalAddr)
}

func (s *session) RemoteAddr() string {
	return s.address(net.Conn.RemoteAddr)
}

func (s *session) address(of func(net.Conn) net.Addr) string {
	l := s.link()
	if l == nil {
		return ""
	}
	// The remote address of a UDP endpoint is a nil interface or a nil pointer.
	switch a := of(l.conn()).(type) {
	case nil:
		return ""
	case *net.UDPAddr:
		if a == nil {
			return ""
		}
		return a.String()
	default:
		return a.String()
	}
}

func (s *session) IncReadPkgNum()  { s.readPkgs.Add(1) }
func (s *session) IncWritePkgNum() { s.sentPkgs.Add(1) }

func (s *session) UpdateActive() { s.active.Store(int64(time.Since(launched))) }

func (s *session) GetActive() time.Time {
	l := s.link()
	if l == nil {
		return launched
	}
	at := launched.Add(time.Duration(s.active.Load()))
	if heard := l.active(); heard.After(at) {
		return heard
	}
	return at
}

func (s *session) ReadTimeout() time.Duration {
	if s.link() == nil {
		return 0
	}
	return s.set.Load().read
}

func (s *session) SetReadTimeout(timeout time.Duration) {
	if timeout < 1 {
		panic("getty: SetReadTimeout: the time is less than 1 ns")
	}
	s.change(func(n *settings) { n.read = timeout })
}

func (s *session) WriteTimeout() time.Duration {
	if s.link() == nil {
		return 0
	}
	return s.set.Load().write
}

func (s *session) SetWriteTimeout(timeout time.Duration) {
	if timeout < 1 {
		panic("getty: SetWriteTimeout: the time is less than 1 ns")
	}
	s.change(func(n *settings) { n.write = timeout })
}

func (s *session) CloseConn(int) {
	if l := s.link(); l != nil {
		l.cut()
	}
}

func (*session) SetSession(Session) {}
