// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/getty-net/getty/bench/internal/frame"
)

// patience is how long a flow waits for its packets before it counts them as lost.
const patience = 50 * time.Millisecond

// Flows drive a server over UDP, in a closed loop: each flow has a connected socket of its own, and so many packets
// in flight. Packets get lost; that is counted, and the flow goes on. It must be used from one goroutine.
type Flows struct {
	cfg    Config
	epoll  int
	flows  []*flow
	events []unix.EpollEvent
	out    *batch
	in     *batch
	want   []byte // a packet, without its sequence number

	messages, lost uint64
	draining       bool
}

// flow is one socket.
type flow struct {
	fd      int
	next    uint64 // sequence number of the next packet
	since   uint64 // packets before this one are not waited for any more
	pending int
	heard   time.Time
}

// batch is the argument of recvmmsg(2) and sendmmsg(2).
type batch struct {
	headers []mmsghdr
	bufs    [][]byte
}

// mmsghdr is the kernel's struct of that name.
type mmsghdr struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

func newBatch(n, size int) *batch {
	b := &batch{headers: make([]mmsghdr, n)}
	for i := range b.headers {
		buf := make([]byte, size)
		iov := &unix.Iovec{Base: unsafe.SliceData(buf)} //nolint:gosec // as the system call wants it
		iov.SetLen(size)
		b.headers[i].Iov = iov
		b.headers[i].SetIovlen(1)
		b.bufs = append(b.bufs, buf)
	}
	return b
}

// call makes the system call for the first n packets and returns how many it handled, 0 if it would block.
func (b *batch) call(trap uintptr, fd, n int) (int, error) {
	r, _, errno := unix.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b.headers))), uintptr(n), 0, 0, 0) //nolint:gosec // as the system call wants it
	switch errno {
	case 0:
		return int(r), nil
	case unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
		return 0, nil
	}
	return 0, os.NewSyscallError("mmsg", errno)
}

// DialUDP opens all sockets.
func DialUDP(cfg Config) (*Flows, error) {
	if cfg.Body < frame.MinBody || cfg.Conns < 1 || cfg.Depth < 1 {
		return nil, fmt.Errorf("load: needs at least 1 socket, 1 packet in flight and %d bytes", frame.MinBody)
	}
	addr, err := net.ResolveUDPAddr("udp4", cfg.Addr)
	if err != nil {
		return nil, err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	tmpl := frame.NewTemplate(cfg.Body, 1).Frames(0, 1)[frame.Header:]
	f := &Flows{
		cfg: cfg, epoll: epoll, events: make([]unix.EpollEvent, 1024), want: tmpl,
		out: newBatch(cfg.Depth, cfg.Body), in: newBatch(max(cfg.Depth, 2), cfg.Body+1), // one more byte: a longer packet shows
	}
	for _, buf := range f.out.bufs {
		copy(buf, tmpl)
	}
	to := &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}
	for i := range cfg.Conns {
		if err := f.open(i, to); err != nil {
			f.Close()
			return nil, fmt.Errorf("socket %d: %w", i, err)
		}
	}
	return f, nil
}

func (f *Flows) open(i int, to unix.Sockaddr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	f.flows = append(f.flows, &flow{fd: fd})
	if err := unix.Connect(fd, to); err != nil {
		return os.NewSyscallError("connect", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)} //nolint:gosec // in range
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &ev))
}

// Close closes all sockets.
func (f *Flows) Close() {
	for _, fl := range f.flows {
		_ = unix.Close(fl.fd)
	}
	_ = unix.Close(f.epoll)
}

// Once sends one packet on each socket, again if it gets lost, and waits for the echoes.
func (f *Flows) Once(timeout time.Duration) error {
	f.draining = true
	for end := time.Now().Add(timeout); ; {
		missing := 0
		for _, fl := range f.flows {
			if fl.since < fl.next || fl.next == 0 {
				missing++
			}
		}
		if missing == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("load: %d flows were not answered within %v", missing, timeout)
		}
		for _, fl := range f.flows {
			if fl.next == 0 || (fl.pending > 0 && time.Since(fl.heard) > patience) {
				fl.pending, fl.since = 0, fl.next
				if err := f.send(fl, 1); err != nil {
					return err
				}
			}
		}
		if err := f.poll(10); err != nil {
			return err
		}
		for _, fl := range f.flows {
			if fl.pending == 0 {
				fl.since = fl.next
			}
		}
	}
}

// Open counts the sockets, which have nothing that could have been closed.
func (f *Flows) Open() int { return len(f.flows) }

// Run drives the load as configured and measures.
func (f *Flows) Run() (res Result, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f.draining = false
	for _, fl := range f.flows {
		if err := f.send(fl, f.cfg.Depth); err != nil {
			return res, err
		}
	}
	if err := f.closed(f.cfg.Warmup); err != nil {
		return res, err
	}
	begin, err := look(f.cfg.PID, f.messages)
	if err != nil {
		return res, err
	}
	lost := f.lost
	if err := f.closed(f.cfg.Duration); err != nil {
		return res, err
	}
	end, err := look(f.cfg.PID, f.messages)
	if err != nil {
		return res, err
	}
	res = end.since(begin)
	res.Lost = f.lost - lost
	f.draining = true
	return res, f.closed(5 * time.Millisecond)
}

func (f *Flows) closed(d time.Duration) error {
	check := time.Now()
	for end := check.Add(d); ; {
		now := time.Now()
		if now.After(end) {
			return nil
		}
		if now.Sub(check) > patience/5 && !f.draining {
			check = now
			if err := f.giveUp(now); err != nil {
				return err
			}
		}
		if err := f.poll(5); err != nil {
			return err
		}
	}
}

// giveUp counts as lost what has been waited for too long, and sends anew.
func (f *Flows) giveUp(now time.Time) error {
	for _, fl := range f.flows {
		if fl.pending == 0 || now.Sub(fl.heard) < patience {
			continue
		}
		f.lost += uint64(fl.pending) //nolint:gosec // in range
		fl.pending, fl.since = 0, fl.next
		if err := f.send(fl, f.cfg.Depth); err != nil {
			return err
		}
	}
	return nil
}

func (f *Flows) poll(ms int) error {
	n, err := unix.EpollWait(f.epoll, f.events, ms)
	if err != nil && err != unix.EINTR {
		return os.NewSyscallError("epoll_wait", err)
	}
	for _, ev := range f.events[:max(n, 0)] {
		if err := f.receive(f.flows[ev.Fd]); err != nil {
			return fmt.Errorf("socket %d: %w", ev.Fd, err)
		}
	}
	return nil
}

// receive takes what has arrived. When all that a flow waits for has, or the socket is empty, as many are sent.
func (f *Flows) receive(fl *flow) error {
	n, err := f.in.call(unix.SYS_RECVMMSG, fl.fd, len(f.in.headers))
	if err != nil || n == 0 {
		return err
	}
	answered := 0
	for i := range n {
		got := f.in.bufs[i][:f.in.headers[i].n]
		if len(got) != len(f.want) {
			return fmt.Errorf("a packet has %d bytes, not %d", len(got), len(f.want))
		}
		seq := binary.BigEndian.Uint64(got)
		if seq%64 == 0 && !bytes.Equal(got[frame.MinBody:], f.want[frame.MinBody:]) || seq >= fl.next {
			return fmt.Errorf("packet %d differs from what was sent", seq)
		}
		if seq >= fl.since {
			answered++
		}
	}
	f.messages += uint64(answered)
	fl.pending -= answered
	fl.heard = time.Now()
	if answered == 0 || f.draining {
		return nil
	}
	return f.send(fl, answered)
}

// send puts n more packets on their way; those that the kernel does not take are lost.
func (f *Flows) send(fl *flow, n int) error {
	if fl.pending == 0 {
		fl.heard = time.Now()
	}
	for i := range n {
		binary.BigEndian.PutUint64(f.out.bufs[i], fl.next)
		fl.next++
	}
	fl.pending += n
	_, err := f.out.call(unix.SYS_SENDMMSG, fl.fd, n)
	return err
}
