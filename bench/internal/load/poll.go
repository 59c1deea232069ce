// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// poll handles what is ready, waiting up to ms milliseconds for it.
func (l *Loop) poll(ms int) error {
	n, err := unix.EpollWait(l.epoll, l.events, ms)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("epoll_wait", err)
	}
	for _, ev := range l.events[:max(n, 0)] {
		c := l.conns[ev.Fd]
		if ev.Events&unix.EPOLLOUT != 0 {
			err = l.flush(c)
		}
		if err == nil && ev.Events&^unix.EPOLLOUT != 0 {
			err = l.receive(c)
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", ev.Fd, err)
		}
	}
	return nil
}

// receive takes what has arrived and, in the closed loop, sends as many messages as were echoed.
func (l *Loop) receive(c *conn) error {
	frames, err := l.take(c)
	if err != nil {
		return err
	}
	l.messages += uint64(frames) //nolint:gosec // in range
	timed := len(c.sent) > 0
	if timed && len(c.sent) >= frames {
		now := time.Now()
		for _, at := range c.sent[:frames] {
			l.lat = append(l.lat, float64(now.Sub(at).Nanoseconds())/1e3)
		}
		c.sent = append(c.sent[:0], c.sent[frames:]...)
	}
	if frames == 0 || l.draining || timed {
		return nil
	}
	return l.send(c, frames)
}

// take reads and checks: once from a socket, since level-triggered epoll tells again, but until it is empty from
// a tls.Conn, which may hold decrypted records that epoll knows nothing of.
func (l *Loop) take(c *conn) (frames int, err error) {
	if c.tls == nil {
		n, err := read(c.fd, l.buf)
		if err != nil || n < 0 {
			return 0, err
		}
		if n == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		return c.check.Consume(l.buf[:n])
	}
	for {
		n, err := c.tls.Read(l.buf)
		if errors.Is(err, errEmpty{}) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		more, err := c.check.Consume(l.buf[:n])
		if frames += more; err != nil {
			return frames, err
		}
	}
}

// send puts n more messages on their way.
func (l *Loop) send(c *conn, n int) error {
	if c.tls != nil {
		// One record for each message, as a peer makes it that sends them one by one.
		for range n {
			if _, err := c.tls.Write(l.tmpl.Frames(c.next, 1)); err != nil {
				return err
			}
			c.next++
		}
		return l.flush(c)
	}
	c.next += uint64(n) //nolint:gosec // in range
	if c.polled {
		return nil
	}
	return l.flush(c)
}

// flush writes what the connection owes, and has epoll tell when the kernel has room again for the rest.
func (l *Loop) flush(c *conn) error {
	done, err := l.push(c)
	if err != nil || done != c.polled {
		return err
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}
	if !done {
		ev.Events |= unix.EPOLLOUT
	}
	for i, other := range l.conns { // rare, so no index is kept in conn
		if other == c {
			ev.Fd = int32(i)
		}
	}
	c.polled = !done
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, c.fd, &ev))
}

// push writes until nothing is owed (done) or the kernel has no room. The unsent rest of a plain stream is not
// kept anywhere: it is made again from its sequence number.
func (l *Loop) push(c *conn) (done bool, err error) {
	if c.tls != nil {
		n, err := write(c.fd, c.shim.out)
		c.shim.out = append(c.shim.out[:0], c.shim.out[n:]...)
		return len(c.shim.out) == 0, err
	}
	size := uint64(l.tmpl.Size()) //nolint:gosec // in range
	for c.off < c.next*size {
		seq := c.off / size
		owed := l.tmpl.Frames(seq, int(c.next-seq))[c.off%size:] //nolint:gosec // in range
		n, err := write(c.fd, owed)
		c.off += uint64(n) //nolint:gosec // in range
		if err != nil || n < len(owed) {
			return false, err
		}
	}
	return true, nil
}
