// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64) && !getty_portable

package getty

import (
	"encoding/binary"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// sendBatch is the headers of some messages that are leaving. A message is a
// packet, or several of one size that the kernel or the device takes apart
// again (GSO): those go through the network stack as one.
type sendBatch struct {
	hdrs     [maxBatchPackets]mmsghdr
	iovs     [maxBatchPackets]syscall.Iovec
	controls [maxBatchPackets]controlBuf

	count int // of hdrs
	parts int // of iovs
	n     int
	errno syscall.Errno
	try   func(fd uintptr)
}

// maxBatchPackets is the upper end of UDP.Batch, and what the kernel takes apart
// at most: UDP_MAX_SEGMENTS.
const maxBatchPackets = 64

// sendBatches are shared by the process, like the buffers of package bufpool.
var sendBatches = sync.Pool{New: func() any {
	b := new(sendBatch)
	b.try = func(fd uintptr) {
		if b.count == 1 {
			b.n, b.errno = sysSendmsg(fd, &b.hdrs[0].hdr)
			return
		}
		b.n, b.errno = sysMmsg(sysSendmmsg, fd, b.hdrs[:b.count])
	}
	return b
}}

func (o *mmsgIO) send(to *udpDest, p []byte) (packets, n int, err error) {
	b := sendBatches.Get().(*sendBatch)
	defer sendBatches.Put(b)
	b.count, b.parts, b.n, b.errno = 0, 0, 0, 0
	gso := o.gso.Load()
	for b.count < o.count && len(p) > 0 && b.parts < len(b.iovs) {
		p = p[b.add(&to.raw, p, gso):]
	}
	raceSent()
	err = o.rc.Control(b.try)
	grouped := b.hdrs[0].hdr.Iovlen > 1
	packets, n = b.sent()
	switch {
	case err != nil || b.errno == 0:
		return packets, n, err
	case b.errno == syscall.EAGAIN:
		return packets, n, errAgain
	case grouped && cannotSegment(b.errno):
		o.gso.Store(false) // not over this path; the caller goes on without
		return packets, n, nil
	}
	return packets, n, os.NewSyscallError("sendmmsg", b.errno)
}

// add makes a message of the first record in p, and with gso of those that may
// join it. It returns how many bytes of p that were.
func (b *sendBatch) add(to *rawDest, p []byte, gso bool) (n int) {
	h, first := &b.hdrs[b.count].hdr, b.parts
	unit, used := record(p)
	size, total := len(unit), len(unit)
	b.part(unit)
	n = used
	for gso && size > 0 && size <= maxSegment && b.parts < len(b.iovs) {
		unit, used = record(p[n:])
		if used == 0 || len(unit) == 0 || len(unit) > size || total+len(unit) > maxPayload {
			break
		}
		b.part(unit)
		n, total = n+used, total+len(unit)
		if len(unit) < size {
			break // only the last one may be shorter
		}
	}
	h.Iov, h.Iovlen = &b.iovs[first], uint64(b.parts-first) //nolint:gosec // at most maxBatchPackets
	to.address(h)
	if b.parts-first > 1 {
		control := b.controls[b.count][:]
		copy(control, to.control[:to.used])
		setSegment(control[to.used:], uint16(size)) //nolint:gosec // at most maxSegment
		h.Control = &control[0]
		h.SetControllen(int(to.used) + syscall.CmsgSpace(sizeSegment))
	}
	b.count++
	return n
}

func (b *sendBatch) part(unit []byte) {
	b.iovs[b.parts].Base = unsafe.SliceData(unit) //nolint:gosec // as sendmmsg wants it
	b.iovs[b.parts].SetLen(len(unit))
	b.parts++
}

// sent counts what has left, and lets go of the session's memory.
func (b *sendBatch) sent() (packets, n int) {
	for i := range b.hdrs[:b.count] {
		h := &b.hdrs[i].hdr
		if i < b.n {
			packets += int(h.Iovlen) //nolint:gosec // at most maxBatchPackets
		}
		h.Name, h.Iov, h.Control = nil, nil, nil
	}
	for i := range b.iovs[:b.parts] {
		if i < packets {
			n += recordHeader + int(b.iovs[i].Len) //nolint:gosec // a packet has 16 bits
		}
		b.iovs[i].Base = nil
	}
	return packets, n
}

// udp(7): UDP_SEGMENT, whose control message is a uint16.
const (
	levelUDP    = syscall.IPPROTO_UDP
	typeGRO     = 104
	typeSegment = 103
	sizeSegment = 2

	// maxSegment fits every path: what IPv6 asks of each link (RFC 8200, section
	// 5), without headers. Longer packets may need fragments, which exclude it.
	maxSegment = 1280 - 40 - 8
)

// canSegment asks the kernel: one that does not know the control message would
// send a group as one packet.
func canSegment(fd int) bool {
	_, err := syscall.GetsockoptInt(fd, levelUDP, typeSegment)
	return err == nil
}

// askGRO has packets that came together, of one size and from one sender, be
// received as one (GRO), with that size in a control message. Otherwise it is
// ended, in case the socket was somebody else's before. It reports whether they
// may come so.
func askGRO(fd int, wanted bool) bool {
	on := 0
	if wanted {
		on = 1
	}
	return syscall.SetsockoptInt(fd, levelUDP, typeGRO, on) == nil && wanted
}

// cannotSegment reports whether a device or path refuses groups.
func cannotSegment(errno syscall.Errno) bool {
	switch errno {
	case syscall.EINVAL, syscall.EIO, syscall.EMSGSIZE, syscall.EOPNOTSUPP:
		return true
	}
	return false
}

func setSegment(b []byte, size uint16) {
	binary.NativeEndian.PutUint64(b, uint64(syscall.CmsgLen(sizeSegment))) //nolint:gosec // a constant
	binary.NativeEndian.PutUint32(b[8:], levelUDP)
	binary.NativeEndian.PutUint32(b[12:], typeSegment)
	binary.NativeEndian.PutUint16(b[syscall.SizeofCmsghdr:], size)
}
