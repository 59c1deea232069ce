// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// spaces are three network namespaces in a row: clients, a router, and servers.
// Each user has an address of its own on both ends, to which the router can be
// told to forward nothing. No interface of the machine itself is touched.
type spaces struct {
	prefix string // of the names
	users  atomic.Int32
	mu     sync.Mutex // one ip command at a time
}

const (
	clientNet = "10.213.1."
	serverNet = "10.213.2."
	router    = "254"
	maxUsers  = 240
)

const spacePrefix = "faults-"

var spacesMade atomic.Int32

// newSpaces makes the namespaces for a layer, or skips the test where that is not possible.
func newSpaces(t *testing.T, layer string) *spaces {
	t.Helper()
	if os.Geteuid() != 0 {
		forbids(t, layer, "network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		lacks(t, layer, "network namespaces need the program ip, of iproute2")
	}
	removeStale(t)
	s := &spaces{prefix: fmt.Sprintf("%s%d-%d-", spacePrefix, os.Getpid(), spacesMade.Add(1))}
	t.Cleanup(s.remove)
	if out, err := s.ip("netns", "add", s.name("c")); err != nil {
		t.Logf("ip netns: %v %s", err, out)
		forbids(t, layer, "no network namespace can be made")
	}
	for i, line := range s.setup() {
		if out, err := s.ip(strings.Fields(line)...); err != nil {
			t.Logf("ip %s: %v %s", line, err, out)
			forbids(t, layer, "no network can be made in a namespace")
		}
		if i == 0 {
			s.forward(t, layer)
		}
	}
	return s
}

// forward makes a router of the new namespace, to which packets may come from
// where it would not send any.
func (s *spaces) forward(t *testing.T, layer string) {
	t.Helper()
	const dir = "/proc/sys/net/ipv4/"
	err := s.within("r", func() {
		for name, value := range map[string]string{
			"ip_forward": "1", "conf/all/rp_filter": "0", "conf/default/rp_filter": "0",
		} {
			if err := os.WriteFile(dir+name, []byte(value), 0o644); err != nil {
				t.Errorf("router: %v", err)
			}
		}
	})
	if err != nil {
		t.Log(err)
		forbids(t, layer, "no way into a network namespace")
	}
}

func (s *spaces) name(which string) string { return s.prefix + which }

func (s *spaces) setup() []string {
	c, r, v := s.name("c"), s.name("r"), s.name("s")
	lines := []string{
		"netns add " + r,
		"netns add " + v,
		"-n " + r + " link add c type veth peer name eth netns " + c,
		"-n " + r + " link add s type veth peer name eth netns " + v,
		"-n " + r + " addr add " + clientNet + router + "/24 dev c",
		"-n " + r + " addr add " + serverNet + router + "/24 dev s",
		"-n " + r + " link set c up",
		"-n " + r + " link set s up",
	}
	for name, prefix := range map[string]string{c: clientNet, v: serverNet} {
		lines = append(lines, "-n "+name+" link set lo up", "-n "+name+" addr add "+prefix+"1/24 dev eth",
			"-n "+name+" link set eth up", "-n "+name+" route add default via "+prefix+router)
	}
	return lines
}

func (s *spaces) ip(args ...string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := exec.Command("ip", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (s *spaces) remove() {
	for _, which := range []string{"c", "r", "s"} {
		_, _ = s.ip("netns", "del", s.name(which))
	}
}

// removeStale removes namespaces of tests that were killed.
func removeStale(t *testing.T) {
	t.Helper()
	names, _ := filepath.Glob("/run/netns/" + spacePrefix + "*")
	for _, path := range names {
		name := filepath.Base(path)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, spacePrefix), "-")
		if _, err := os.Stat("/proc/" + pid); err != nil {
			_ = exec.Command("ip", "netns", "del", name).Run()
		}
	}
}

// within runs f on a thread in a namespace: the sockets that it makes stay there.
func (s *spaces) within(which string, f func()) error {
	runtime.LockOSThread()
	own, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer own.Close()
	other, err := os.Open("/run/netns/" + s.name(which))
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	f()
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		return err // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return nil
}

// routed is a road from one namespace to another.
type routed struct {
	taps // where something is to happen in the midst of a handshake or a frame
	*spaces
	t    testing.TB
	user string // the last byte of both addresses
	gone []string
}

func (s *spaces) road(t testing.TB) *routed {
	t.Helper()
	n := int(s.users.Add(1)) + 1
	if n > maxUsers {
		t.Fatal("too many users of the namespaces")
	}
	r := &routed{spaces: s, t: t, user: strconv.Itoa(n)}
	r.must("-n", s.name("c"), "addr", "add", clientNet+r.user+"/24", "dev", "eth")
	r.must("-n", s.name("s"), "addr", "add", serverNet+r.user+"/24", "dev", "eth")
	return r
}

func (r *routed) must(args ...string) {
	r.t.Helper()
	if out, err := r.ip(args...); err != nil {
		r.t.Errorf("ip %v: %v %s", args, err, out)
	}
}

func (r *routed) connect(b *bed) (string, dialFunc) {
	addr := serverNet + r.user + ":0"
	if b.adjust != nil && b.transport == "tcp" { // to settings of sockets, too
		var err error
		b.must(r.within("s", func() { err = b.srv.Listen("tcp://" + addr) }))
		b.must(err)
		return urlTo(b.cell, b.srv.Addrs()[0].String()), r.dial
	}
	var l net.Listener
	var pc net.PacketConn
	var err error
	b.must(r.within("s", func() {
		if b.transport == udp {
			pc, err = net.ListenPacket("udp", addr)
		} else {
			l, err = (&net.ListenConfig{Control: smallBuffers}).Listen(context.Background(), "tcp", addr)
		}
	}))
	b.must(err)
	dial := r.dial
	switch {
	case b.moment != beforeOpen && b.moment != midFrame:
	case pc != nil:
		dial = r.dialUDP
	default:
		l, dial = tapped{l, &r.taps}, r.dialer(r.dial)
	}
	if pc != nil {
		go func() { _ = b.srv.ServePacket(pc) }()
		return urlTo(b.cell, pc.LocalAddr().String()), dial
	}
	go b.serve(l)
	return urlTo(b.cell, l.Addr().String()), dial
}

// dialUDP tells of a new conn on both sides: on udp there is but one.
func (r *routed) dialUDP(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := r.dial(ctx, network, address)
	if err == nil {
		r.conn("client")
		r.conn("server")
	}
	return nc, err
}

func (r *routed) dial(ctx context.Context, network, address string) (nc net.Conn, err error) {
	from := net.IP(net.ParseIP(clientNet + r.user))
	d := net.Dialer{Control: smallBuffers, LocalAddr: &net.TCPAddr{IP: from}}
	if network == "udp" {
		d.LocalAddr = &net.UDPAddr{IP: from}
	}
	if e := r.within("c", func() { nc, err = d.DialContext(ctx, network, address) }); e != nil {
		return nil, e
	}
	return nc, err
}

func (r *routed) do(fault, side string) {
	r.drop(r.addr(otherThan(side)))
	if fault == silent {
		r.drop(r.addr(side))
	}
}

// addr is the address of a side.
func (r *routed) addr(side string) string {
	if side == "server" {
		return serverNet + r.user
	}
	return clientNet + r.user
}

// drop has the router forward nothing to an address, and say nothing.
func (r *routed) drop(addr string) {
	r.must("-n", r.name("r"), "route", "add", "blackhole", addr+"/32")
	r.gone = append(r.gone, addr)
}

func (r *routed) heal() {
	for _, addr := range r.gone {
		r.must("-n", r.name("r"), "route", "del", "blackhole", addr+"/32")
	}
	r.gone = nil
}

func (r *routed) close() { r.heal() }
