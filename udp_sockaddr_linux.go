// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64) && !getty_portable

package getty

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"
)

// controlBuf has room for the larger pktinfo and a size of segments.
type controlBuf [64]byte

// The sizes and places of struct in_pktinfo (ip(7)) and in6_pktinfo (ipv6(7)).
const (
	sizePktinfo, specDst      = 12, 4
	sizePktinfo6, ifindex6    = 20, 16
	levelIP, levelIPv6        = syscall.IPPROTO_IP, syscall.IPPROTO_IPV6
	typePktinfo, typePktinfo6 = syscall.IP_PKTINFO, syscall.IPV6_PKTINFO
)

// askPktinfo has packets come with the address that they were sent to.
func askPktinfo(fd int, v6 bool) bool {
	if v6 {
		return syscall.SetsockoptInt(fd, levelIPv6, syscall.IPV6_RECVPKTINFO, 1) == nil
	}
	return syscall.SetsockoptInt(fd, levelIP, typePktinfo, 1) == nil
}

// addrPortOf reads the address of a sender. The kernel gives IPv4 addresses on a
// socket of both families as mapped ones.
func addrPortOf(sa *syscall.RawSockaddrInet6, size int) netip.AddrPort {
	// Ports are in network order.
	port := func(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) } //nolint:gosec // a port is in network order
	switch {
	case sa.Family == syscall.AF_INET6 && size >= syscall.SizeofSockaddrInet6:
		return netip.AddrPortFrom(withZone(netip.AddrFrom16(sa.Addr).Unmap(), sa.Scope_id), port(&sa.Port))
	case sa.Family == syscall.AF_INET && size >= syscall.SizeofSockaddrInet4:
		sa4 := (*syscall.RawSockaddrInet4)(unsafe.Pointer(sa)) //nolint:gosec // the family says which it is
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), port(&sa4.Port))
	}
	return netip.AddrPort{}
}

// withZone names the zone by its number: the system's name for it would cost
// a question per packet.
func withZone(a netip.Addr, scope uint32) netip.Addr {
	if scope == 0 || !a.Is6() {
		return a
	}
	return a.WithZone(strconv.FormatUint(uint64(scope), 10))
}

// readControls takes out of a packet's control messages the address that it was
// sent to, invalid if they do not say or it is nobody's own, and the size of the
// packets if it is several, see askGRO.
func readControls(b []byte) (local netip.Addr, segment int) {
	for len(b) >= syscall.SizeofCmsghdr {
		// The length is as long as a pointer, level and type have 4 bytes each.
		size := int(binary.NativeEndian.Uint64(b)) //nolint:gosec // checked below
		level, kind := binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[12:])
		if size < syscall.SizeofCmsghdr || size > len(b) {
			break
		}
		data := b[syscall.SizeofCmsghdr:size]
		switch {
		case level == levelIP && kind == typePktinfo && len(data) >= sizePktinfo:
			// Not the destination, which may be a group's: what would be the source.
			local = source(netip.AddrFrom4([4]byte(data[specDst:])))
		case level == levelIPv6 && kind == typePktinfo6 && len(data) >= sizePktinfo6:
			a := netip.AddrFrom16([16]byte(data)).Unmap()
			if a.IsLinkLocalUnicast() {
				a = withZone(a, binary.NativeEndian.Uint32(data[ifindex6:]))
			}
			local = source(a)
		case level == levelUDP && kind == typeGRO && len(data) >= 4:
			segment = int(binary.NativeEndian.Uint32(data))
		}
		b = b[min(len(b), syscall.CmsgSpace(size-syscall.SizeofCmsghdr)):]
	}
	return local, segment
}

// source is a if packets can be sent from it.
func source(a netip.Addr) netip.Addr {
	if a.IsMulticast() || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}
	}
	return a
}

// rawDest is a destination, and the source to use, in the kernel's form.
type rawDest struct {
	name    syscall.RawSockaddrInet6
	size    uint32 // of name; 0: the socket is connected
	control [40]byte
	used    uint8 // of control
}

// address makes h that of a packet to d.
func (d *rawDest) address(h *syscall.Msghdr) {
	h.Name, h.Namelen = nil, d.size
	if d.size > 0 {
		h.Name = (*byte)(unsafe.Pointer(&d.name)) //nolint:gosec // as sendmmsg wants it
	}
	h.Control = nil
	h.SetControllen(int(d.used))
	if d.used > 0 {
		h.Control = &d.control[0]
	}
}

func (o *mmsgIO) prepare(to *udpDest) {
	if to.peer.IsValid() {
		to.raw.setName(to.peer, o.v6)
	}
	if o.pktinfo && to.local.IsValid() {
		to.raw.setSource(to.local, o.v6)
	}
}

func (d *rawDest) setName(ap netip.AddrPort, v6 bool) {
	var port [2]byte
	binary.BigEndian.PutUint16(port[:], ap.Port())
	if !v6 {
		sa := (*syscall.RawSockaddrInet4)(unsafe.Pointer(&d.name)) //nolint:gosec // the family says which it is
		sa.Family, sa.Addr = syscall.AF_INET, ap.Addr().As4()
		sa.Port = binary.NativeEndian.Uint16(port[:])
		d.size = syscall.SizeofSockaddrInet4
		return
	}
	d.name.Family, d.name.Addr = syscall.AF_INET6, ap.Addr().As16()
	d.name.Port = binary.NativeEndian.Uint16(port[:])
	d.name.Scope_id = scopeOf(ap.Addr())
	d.size = syscall.SizeofSockaddrInet6
}

// setSource writes the control message that names the source. A socket of both
// families takes IPv4 addresses as mapped ones there, too.
func (d *rawDest) setSource(a netip.Addr, v6 bool) {
	level, kind, size := uint32(levelIP), uint32(typePktinfo), sizePktinfo
	if v6 {
		level, kind, size = levelIPv6, typePktinfo6, sizePktinfo6
	}
	b := d.control[:]
	binary.NativeEndian.PutUint64(b, uint64(syscall.CmsgLen(size))) //nolint:gosec // a constant
	binary.NativeEndian.PutUint32(b[8:], level)
	binary.NativeEndian.PutUint32(b[12:], kind)
	data := b[syscall.SizeofCmsghdr:]
	if v6 {
		a16 := a.As16()
		copy(data, a16[:])
		binary.NativeEndian.PutUint32(data[ifindex6:], scopeOf(a))
	} else {
		a4 := a.As4()
		copy(data[specDst:], a4[:])
	}
	d.used = uint8(syscall.CmsgSpace(size)) //nolint:gosec // a constant
}

// scopeOf is the number of an address's zone.
func scopeOf(a netip.Addr) uint32 {
	zone := a.Zone()
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index) //nolint:gosec // it is positive
	}
	return 0
}
