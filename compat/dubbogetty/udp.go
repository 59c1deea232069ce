// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// udpSocket is the one session of NewUDPEndPoint: a socket, and a goroutine
// that reads it.
type udpSocket struct {
	nc   *net.UDPConn
	s    *session
	over chan struct{} // closed after OnClose

	writing sync.Mutex // the deadline is the socket's

	heard, bytesIn, bytesOut, in, out atomic.Int64

	mu    sync.Mutex
	ended bool
	cause error
}

// maxPacket is the longest packet that UDP can carry.
const maxPacket = 64 << 10

// runUDP listens and opens the session.
func (s *server) runUDP(addr string) error {
	laddr, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return err
	}
	nc, err := net.ListenUDP("udp", laddr)
	if err != nil {
		return err
	}
	u := &udpSocket{nc: nc, over: make(chan struct{})}
	u.s = newSession(&s.endpoint, s.name, u)
	s.mu.Lock()
	s.packet = nc
	s.mu.Unlock()
	if _, err := s.callSetUp(u.s); err != nil {
		_ = nc.Close()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.IsClosed() { // meanwhile
		return nc.Close()
	}
	s.socket = u
	go u.run()
	return nil
}

// run is the life of the session.
func (u *udpSocket) run() {
	defer close(u.over)
	s := u.s
	s.mu.Lock()
	s.open.Store(true)
	s.mu.Unlock()
	u.heard.Store(int64(time.Since(launched)))
	u.guard(func() {
		if err := s.set.Load().listener.OnOpen(s); err != nil {
			u.fail(err)
			return
		}
		s.startCron()
	})
	if s.closed.Load() { // maybe in NewSessionCallback
		u.close()
	}
	u.read()
	s.closed.Store(true)
	_ = u.nc.Close()
	u.mu.Lock()
	cause := u.cause
	u.mu.Unlock()
	u.guard(func() { s.ended(cause) })
}

// errorPause is how long reading rests after errors in a row.
const errorPause = 10 * time.Millisecond

// read has packets handled until the socket is closed. Other errors are about
// single packets and pass.
func (u *udpSocket) read() {
	buf := make([]byte, maxPacket)
	failed := false // the last time
	for !u.isEnded() {
		n, peer, err := u.nc.ReadFromUDP(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			u.end(err)
			return
		case errors.Is(err, os.ErrDeadlineExceeded): // the user has set one
			_ = u.nc.SetReadDeadline(time.Time{})
			continue
		case err != nil:
			u.s.dropped("packet", err)
			if failed {
				time.Sleep(errorPause)
			}
			failed = true
			continue
		}
		failed = false
		u.bytesIn.Add(int64(n))
		u.heard.Store(int64(time.Since(launched)))
		u.guard(func() { u.handle(buf[:n:n], peer) })
	}
}

func (u *udpSocket) handle(packet []byte, peer *net.UDPAddr) {
	if ep := u.s.endpoint(); ep != nil && ep.pool != nil {
		packet = append([]byte(nil), packet...)
	}
	pkg := u.s.decodePacket(packet, peer)
	if _, skip := pkg.(skipped); !skip {
		u.in.Add(1)
		u.s.deliver(pkg)
	}
}

// guard has a panic end the session.
func (u *udpSocket) guard(callback func()) {
	defer func() {
		if r := recover(); r != nil {
			u.s.panicked(r)
		}
	}()
	callback()
}

func (u *udpSocket) closed() bool      { return u.isEnded() }
func (u *udpSocket) conn() net.Conn    { return u.nc }
func (u *udpSocket) active() time.Time { return launched.Add(time.Duration(u.heard.Load())) }
func (u *udpSocket) ping()             {}
func (u *udpSocket) cut()              { _ = u.nc.Close() }
func (u *udpSocket) close()            { u.end(nil); _ = u.nc.Close() }
func (u *udpSocket) fail(cause error)  { u.end(cause); _ = u.nc.Close() }

func (u *udpSocket) counts() counts {
	return counts{u.bytesIn.Load(), u.bytesOut.Load(), u.in.Load(), u.out.Load(), 0}
}

func (u *udpSocket) isEnded() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ended
}

// end sets the cause, once.
func (u *udpSocket) end(cause error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ended {
		u.ended, u.cause = true, cause
	}
	u.s.closed.Store(true)
}

// wait waits for OnClose.
func (u *udpSocket) wait(limit time.Duration) {
	select {
	case <-u.over:
	case <-time.After(limit):
	}
}

func (u *udpSocket) send(f *frame, to *net.UDPAddr, timeout time.Duration) (int, error) {
	b := f.whole
	if f.parts != nil {
		b = f.appendTo(nil)
	}
	u.writing.Lock()
	defer u.writing.Unlock()
	if err := u.nc.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return 0, ErrSessionClosed
	}
	n, err := u.nc.WriteToUDP(b, to)
	switch {
	case errors.Is(err, net.ErrClosed):
		return n, ErrSessionClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, &blockedError{timeout}
	case err != nil:
		return n, err
	}
	u.bytesOut.Add(int64(n))
	u.out.Add(1)
	return n, nil
}
