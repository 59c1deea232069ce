// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64) && !getty_portable

package getty

import (
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/getty-net/getty/internal/bufpool"
)

// mmsgIO is the packetIO of exactly *net.UDPConn: many packets per system call,
// no buffer while waiting, and answers from the address that was asked. Like
// rawConn it makes non-blocking calls inside RawConn, but sends inside Control,
// which takes no lock: senders of different sessions do not wait for each other.
type mmsgIO struct {
	uc      *net.UDPConn
	rc      syscall.RawConn
	shared  *udpShared
	size    int         // of the buffer for one packet
	count   int         // of packets in a batch
	v6      bool        // the socket's own family
	pktinfo bool        // packets come with the address they were sent to
	addr    netip.Addr  // where that is known without
	gso     atomic.Bool // packets of one size leave as one; see udp_send_linux.go
	gro     bool        // they may also come as one

	// Owned by the receiver.
	tryR  func(fd uintptr) bool
	park  func()
	batch *recvBatch
	n     int
	rerr  error
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr syscall.Msghdr
	n   uint32
}

// recvBatch is room for some packets and for what is known about each.
type recvBatch struct {
	hdrs     []mmsghdr
	iovs     []syscall.Iovec
	names    []syscall.RawSockaddrInet6 // the larger one
	controls []controlBuf
	data     []byte

	// The kernel has written to the first used of hdrs, which are those of a socket.
	used int
	of   *mmsgIO
}

func newServerIO(ep *endpoint, pc net.PacketConn) (io packetIO, slow bool) {
	if uc, ok := pc.(*net.UDPConn); ok {
		if o := newMmsgIO(ep, uc); o != nil {
			o.addr = boundTo(uc.LocalAddr())
			if !o.addr.IsValid() {
				_ = o.rc.Control(func(fd uintptr) { o.pktinfo = askPktinfo(int(fd), o.v6) })
			}
			return o, false
		}
	}
	return newPortableServer(ep, pc)
}

func newClientIO(ep *endpoint, nc net.Conn) (io packetIO, slow bool) {
	if uc, ok := nc.(*net.UDPConn); ok {
		if o := newMmsgIO(ep, uc); o != nil {
			return o, false
		}
	}
	return newPortableClient(ep, nc)
}

// newMmsgIO returns nil if the socket cannot be reached that way.
func newMmsgIO(ep *endpoint, uc *net.UDPConn) *mmsgIO {
	rc, err := uc.SyscallConn()
	if err != nil {
		return nil
	}
	o := &mmsgIO{uc: uc, rc: rc, shared: &ep.udp, size: ep.cfg.UDP.MaxPacketSize, count: ep.cfg.UDP.Batch}
	var sa syscall.Sockaddr
	err = os.ErrClosed
	if cerr := rc.Control(func(fd uintptr) { sa, err = syscall.Getsockname(int(fd)) }); cerr != nil || err != nil {
		return nil
	}
	_, o.v6 = sa.(*syscall.SockaddrInet6)
	_ = rc.Control(func(fd uintptr) {
		offload := o.count > 1 && !ep.cfg.UDP.NoOffload
		if offload {
			o.gso.Store(canSegment(int(fd)))
		}
		// What comes as one fills the largest buffer.
		o.gro = askGRO(int(fd), offload && o.size == DefaultUDPMaxPacketSize)
	})
	o.tryR = o.onReadable
	return o
}

func (o *mmsgIO) newBatch() *recvBatch {
	if b, ok := o.shared.buffers.Get().(*recvBatch); ok {
		return b
	}
	b := &recvBatch{
		hdrs: make([]mmsghdr, o.count), iovs: make([]syscall.Iovec, o.count),
		names: make([]syscall.RawSockaddrInet6, o.count), controls: make([]controlBuf, o.count),
		data: make([]byte, o.count*o.size),
	}
	for i := range b.hdrs {
		b.iovs[i].Base = &b.data[i*o.size]
		b.iovs[i].SetLen(o.size)
		h := &b.hdrs[i].hdr
		h.Iov, h.Iovlen = &b.iovs[i], 1
		h.Name = (*byte)(unsafe.Pointer(&b.names[i])) //nolint:gosec // as recvmmsg wants it
		h.Control = &b.controls[i][0]
	}
	return b
}

func (o *mmsgIO) receive(park func(), got func(packet)) error {
	o.park, o.rerr = park, nil
	err := o.rc.Read(o.tryR)
	if err == nil {
		err = o.rerr
	}
	if b := o.batch; b != nil {
		for i := range b.hdrs[:o.n] {
			pk, segment := o.packet(b, i)
			all := pk.data
			for segment > 0 && len(pk.data) > segment {
				rest := pk.data[segment:]
				pk.data = pk.data[:segment:segment]
				got(pk)
				pk.data = rest
			}
			got(pk)
			if bufpool.Debug {
				bufpool.Poison(all)
			}
		}
		o.batch = nil
		o.shared.buffers.Put(b)
	}
	return err
}

// onReadable always reads before it lets the runtime wait.
func (o *mmsgIO) onReadable(fd uintptr) bool {
	b := o.newBatch()
	o.ready(b)
	n, errno := sysMmsg(syscall.SYS_RECVMMSG, fd, b.hdrs)
	b.used = n
	if errno == 0 {
		raceReceived()
		o.batch, o.n = b, n
		return true
	}
	o.shared.buffers.Put(b)
	if errno == syscall.EAGAIN {
		o.park()
		return false
	}
	o.rerr = os.NewSyscallError("recvmmsg", errno)
	return true
}

// ready has b say again how much room there is, where the kernel has written how
// much it took.
func (o *mmsgIO) ready(b *recvBatch) {
	if b.of != o { // sockets of one endpoint share their batches
		b.of, b.used = o, len(b.hdrs)
	}
	for i := range b.hdrs[:b.used] {
		h := &b.hdrs[i].hdr
		h.Namelen, h.Flags, h.Controllen = syscall.SizeofSockaddrInet6, 0, 0
		if o.pktinfo || o.gro {
			h.SetControllen(len(b.controls[i]))
		}
	}
}

// packet reads what the kernel has said about a packet, or about several of one
// size, but for the last, that it gives as one.
func (o *mmsgIO) packet(b *recvBatch, i int) (pk packet, segment int) {
	m := &b.hdrs[i]
	pk = packet{
		data:      b.data[i*o.size:][:min(int(m.n), o.size)],
		truncated: m.hdr.Flags&syscall.MSG_TRUNC != 0,
		local:     o.addr,
	}
	pk.from = addrPortOf(&b.names[i], int(m.hdr.Namelen))
	if o.pktinfo || o.gro {
		var local netip.Addr
		local, segment = readControls(b.controls[i][:min(int(m.hdr.Controllen), len(b.controls[i]))]) //nolint:gosec // the kernel keeps it within the buffer
		if o.pktinfo {
			pk.local = local
		}
	}
	return pk, segment
}

func (o *mmsgIO) close() error { return o.uc.Close() }

// sysMmsg is recvmmsg(2) or sendmmsg(2) on a non-blocking descriptor; see
// sysRead. On error no packet was received or sent.
func sysMmsg(trap, fd uintptr, hdrs []mmsghdr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, fd,
			uintptr(unsafe.Pointer(unsafe.SliceData(hdrs))), uintptr(len(hdrs)), syscall.MSG_DONTWAIT, 0, 0) //nolint:gosec // as the system call wants it; hdrs lives through it
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// sysSendmsg is sendmsg(2), which is cheaper than sendmmsg(2) with one message.
func sysSendmsg(fd uintptr, hdr *syscall.Msghdr) (sent int, errno syscall.Errno) {
	for {
		_, _, errno = syscall.RawSyscall(syscall.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(hdr)), syscall.MSG_DONTWAIT) //nolint:gosec // as the system call wants it; hdr lives through it
		switch errno {
		case 0:
			return 1, 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
