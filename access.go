// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
)

// AccessList says which addresses may connect to a server. It may be shared by
// servers and changed while they run; its methods may be called from any
// goroutine. The zero value and a nil list let everybody in.
type AccessList struct{ rules atomic.Pointer[accessRules] }

type accessRules struct{ allow, deny prefixSet }

// NewAccessList returns a list with these rules; see Set.
func NewAccessList(allow, deny []netip.Prefix) *AccessList {
	a := new(AccessList)
	a.Set(allow, deny)
	return a
}

// Set replaces the rules. An address is let in if no prefix of deny holds it and
// one of allow does; an empty allow holds all. The slices are copied. Sessions
// that are open stay open: end them by Server.Sessions where that is wanted.
// Invalid prefixes hold no address.
func (a *AccessList) Set(allow, deny []netip.Prefix) {
	a.rules.Store(&accessRules{newPrefixSet(allow), newPrefixSet(deny)})
}

// Allows reports whether an address is let in. Zones are ignored, and an IPv4
// address inside IPv6 is the IPv4 address.
func (a *AccessList) Allows(addr netip.Addr) bool {
	if a == nil {
		return true
	}
	r := a.rules.Load()
	if r == nil {
		return true
	}
	addr = addr.Unmap().WithZone("")
	return !r.deny.holds(addr) && (r.allow.empty() || r.allow.holds(addr))
}

// prefixSet finds an address by one look-up for each length of prefix in it,
// however many prefixes there are.
type prefixSet struct {
	lengths []int
	members map[netip.Prefix]bool
}

func newPrefixSet(list []netip.Prefix) prefixSet {
	s := prefixSet{members: make(map[netip.Prefix]bool, len(list))}
	for _, p := range list {
		addr, bits := p.Addr(), p.Bits()
		if addr.Is4In6() && bits >= 96 {
			addr, bits = addr.Unmap(), bits-96
		}
		s.members[netip.PrefixFrom(addr, bits).Masked()] = true
		s.lengths = append(s.lengths, bits)
	}
	slices.Sort(s.lengths)
	s.lengths = slices.Compact(s.lengths)
	return s
}

func (s *prefixSet) empty() bool { return len(s.members) == 0 }

func (s *prefixSet) holds(addr netip.Addr) bool {
	for _, bits := range s.lengths {
		if p, err := addr.Prefix(bits); err == nil && s.members[p] {
			return true
		}
	}
	return false
}

// addrOf is the IP address of a peer; the zero Addr if it has none.
func addrOf(a net.Addr) netip.Addr {
	var ap netip.AddrPort
	switch t := a.(type) {
	case nil:
	case *net.TCPAddr:
		ap = t.AddrPort()
	case *net.UDPAddr:
		ap = t.AddrPort()
	default:
		ap, _ = netip.ParseAddrPort(textOf(a))
	}
	return ap.Addr().Unmap().WithZone("")
}
