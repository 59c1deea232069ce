// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// knocking is a server in a bubble at whose door addresses knock.
type knocking struct {
	srv *getty.Server[string]
	l   *pipeListener
	o   *observed
	r   *recorder
}

func knocks(t *testing.T, guard getty.Guard, test func(k *knocking)) {
	synctest.Test(t, func(t *testing.T) {
		k := &knocking{o: observe(), r: record()}
		k.srv, k.l = newPipeServer(t, k.r, getty.Config{Guard: guard, Observer: k.o}, (*getty.Server[string]).Serve)
		test(k)
	})
}

// from connects and returns how to leave, or why it was refused.
func (k *knocking) from(t *testing.T, addr string) (leave func(), refusal error) {
	t.Helper()
	far := k.l.connectFrom(addr)
	synctest.Wait()
	if len(k.o.failed) > 0 {
		if len(k.r.opened) > 0 {
			t.Fatalf("%s was refused and opened", addr)
		}
		return nil, <-k.o.failed
	}
	receive(t, k.r.opened, "OnOpen")
	return func() {
		_ = far.Close()
		receive(t, k.o.closed, "SessionClosed")
		receive(t, k.r.closed, "OnClose")
	}, nil
}

// want connects from each address and expects the same of all.
func (k *knocking) want(t *testing.T, want error, addrs ...string) (leave []func()) {
	t.Helper()
	for _, addr := range addrs {
		l, err := k.from(t, addr)
		if !errors.Is(err, want) {
			t.Fatalf("%s: refused with %v, want %v", addr, err, want)
		}
		leave = append(leave, l)
	}
	return leave
}

func prefixes(list ...string) (ps []netip.Prefix) {
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func TestD54AccessListIsObeyedAndMayChange(t *testing.T) {
	list := getty.NewAccessList(nil, prefixes("192.0.2.0/24", "2001:db8::/32", "::ffff:203.0.113.0/120"))
	knocks(t, getty.Guard{Access: list}, func(k *knocking) {
		k.want(t, getty.ErrDenied, "192.0.2.7:1", "[::ffff:192.0.2.8]:1", "[2001:db8::1]:1", "203.0.113.9:1")
		k.want(t, nil, "198.51.100.1:1", "[2001:db9::1]:1", "@")
		list.Set(prefixes("192.0.2.0/24", "10.0.0.0/8"), prefixes("10.1.0.0/16"))
		k.want(t, nil, "192.0.2.7:1", "10.2.0.1:1", "@")
		k.want(t, getty.ErrDenied, "198.51.100.1:1", "10.1.2.3:1", "[2001:db9::1]:1")
		list.Set(nil, nil)
		k.want(t, nil, "10.1.2.3:1")
		if st := k.srv.Stats(); st.Refusals["denied"] != 7 || st.Rejected != 7 || st.Sessions != 7 {
			t.Errorf("the statistics are %+v", st)
		}
	})
}

func TestD54AcceptRates(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		knocks(t, getty.Guard{Accepts: getty.Rate{PerSecond: 2, Burst: 3}}, func(k *knocking) {
			k.want(t, nil, "192.0.2.1:1", "192.0.2.2:1", "@")
			k.want(t, getty.ErrAcceptRate, "192.0.2.4:1", "@")
			time.Sleep(500 * time.Millisecond)
			k.want(t, nil, "192.0.2.5:1")
			k.want(t, getty.ErrAcceptRate, "192.0.2.6:1")
			time.Sleep(time.Hour)
			k.want(t, nil, "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1")
			k.want(t, getty.ErrAcceptRate, "192.0.2.4:1")
			if st := k.srv.Stats(); st.Refusals["accept rate"] != 4 {
				t.Errorf("the statistics are %+v", st)
			}
		})
	})
	t.Run("network", func(t *testing.T) {
		knocks(t, getty.Guard{AcceptsPerPrefix: getty.Rate{PerSecond: 1}}, func(k *knocking) {
			leave := k.want(t, nil, "192.0.2.1:1", "192.0.3.1:1", "[2001:db8:0:1::]:1", "[2001:db8:0:100::]:1", "@", "@")
			k.want(t, getty.ErrAcceptRate, "192.0.2.2:1", "192.0.3.2:1", "[2001:db8:0:2::]:1")
			leave[0]() // what a network has used is not forgotten with its sessions
			k.want(t, getty.ErrAcceptRate, "192.0.2.2:1")
			time.Sleep(time.Second)
			k.want(t, nil, "192.0.2.2:1")
		})
	})
}

func TestD54MaxSessionsPerPrefix(t *testing.T) {
	knocks(t, getty.Guard{MaxSessionsPerPrefix: 2, IPv4Prefix: 16, IPv6Prefix: 32}, func(k *knocking) {
		leave := k.want(t, nil, "192.0.2.1:1", "192.0.3.1:1", "192.1.0.1:1", "[2001:db8:1::]:1", "[2001:db8:2::]:1", "@", "@", "@")
		k.want(t, getty.ErrTooManySessions, "192.0.4.1:1", "[2001:db8:3::]:1")
		leave[0]()
		k.want(t, nil, "192.0.4.1:1")
		k.want(t, getty.ErrTooManySessions, "192.0.5.1:1")
		if st := k.srv.Stats(); st.Refusals["too many sessions"] != 3 {
			t.Errorf("the statistics are %+v", st)
		}
	})
}

// Networks that come and go leave nothing behind.
func TestD54ManyNetworksAreForgotten(t *testing.T) {
	knocks(t, getty.Guard{AcceptsPerPrefix: getty.Rate{PerSecond: 1}}, func(k *knocking) {
		for i := range 3000 {
			for _, leave := range k.want(t, nil, fmt.Sprintf("10.%d.%d.1:1", i>>8, i&255)) {
				leave()
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := k.srv.Networks(); n > 2048 {
			t.Errorf("%d networks are remembered", n)
		}
	})
}

func TestGuardIsForServers(t *testing.T) {
	guard := getty.Guard{Accepts: getty.Rate{PerSecond: 1}}
	_, err := getty.NewClient("tcp://127.0.0.1:1", codec.Line{}, echo, getty.ClientConfig{Config: getty.Config{Guard: guard}})
	checkConfigError(t, err, "Config.Guard", "none")
	_, err = getty.Dial(t.Context(), "tcp://127.0.0.1:1", codec.Line{}, echo, getty.Config{Guard: guard})
	checkConfigError(t, err, "Config.Guard", "none")
}

// A packet of a denied sender is refused as that, before a place is looked for.
func TestUDPDeniedBeforeAnythingElse(t *testing.T) {
	list := getty.NewAccessList(nil, nil)
	cfg := getty.Config{Guard: getty.Guard{Access: list}, UDP: getty.UDP{MaxSessions: 1}}
	srv, url := serve(t, udpTransport, echo, cfg, nil)
	echoesOver(t, url)
	list.Set(prefixes("192.0.2.0/24"), nil)
	_, addr, _ := splitURL(url)
	nc, err := net.Dial("udp", addr)
	must(t, err)
	defer nc.Close()
	_, err = nc.Write([]byte("let me in\n"))
	must(t, err)
	reaches(t, 1, "the number of refusals", func() int64 { return srv.Stats().Refusals["denied"] })
	if st := srv.Stats(); st.Rejected != 1 || st.UDP.Refused != 0 {
		t.Errorf("the statistics are %+v", st)
	}
}

// Packets beyond UDP.MaxSessions or MaxSessions are counted as what they are, and
// nobody is told of each: their senders may be made up.
func TestUDPPacketsBeyondMaxSessionsAreCountedByKind(t *testing.T) {
	const packets = 10
	for name, cfg := range map[string]getty.Config{
		"UDP.MaxSessions": {UDP: getty.UDP{MaxSessions: 1}}, "MaxSessions": {MaxSessions: 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe()
			cfg.Observer = o
			srv, url := serve(t, udpTransport, echo, cfg, nil)
			held := udpPeer(t, url)
			udpWantEcho(t, held, "hello\n")
			other := udpPeer(t, url)
			for range packets {
				write(t, other, "let me in\n")
			}
			reaches(t, packets, "the number of refusals", func() int64 { return srv.Stats().Refusals["too many sessions"] })
			if st := srv.Stats(); st.Rejected != packets || st.UDP.Refused != packets || st.Failed != 0 || len(st.Refusals) != 1 {
				t.Errorf("the statistics are %+v", st)
			}
			if len(o.failed) > 0 {
				t.Errorf("the observer was told of %v", <-o.failed)
			}
		})
	}
}

// Other limits tell of each packet, and give back the place that it had taken.
func TestUDPPacketsRefusedByTheGuard(t *testing.T) {
	o := observe()
	cfg := getty.Config{Observer: o, UDP: getty.UDP{MaxSessions: 2}, MaxSessionsPerAddr: 1}
	srv, url := serve(t, udpTransport, echo, cfg, nil)
	udpWantEcho(t, udpPeer(t, url), "hello\n")
	other := udpPeer(t, url)
	for range 5 {
		write(t, other, "let me in\n")
		wantCause(t, receive(t, o.failed, "ConnFailed"), getty.ErrTooManySessions)
	}
	if st := srv.Stats(); st.Rejected != 5 || st.UDP.Refused != 0 || st.Refusals["too many sessions"] != 5 || st.Opened != 1 {
		t.Errorf("the statistics are %+v", st)
	}
}

// The guard stands before every transport; addresses that are none pass.
func TestD54GuardOverEveryTransport(t *testing.T) {
	for _, tr := range append(slices.Clone(transports), udpTransport) {
		t.Run(tr.name, func(t *testing.T) {
			list := getty.NewAccessList(nil, prefixes("127.0.0.0/8", "::1/128"))
			srv, url := serve(t, tr, echo, getty.Config{Guard: getty.Guard{Access: list}}, nil)
			if tr.name == "unix" {
				echoesOver(t, url)
				return
			}
			kind, addr, _ := splitURL(url)
			nc, err := net.Dial(networkOf(kind), addr)
			must(t, err)
			defer nc.Close()
			_, err = nc.Write([]byte("let me in\n"))
			must(t, err)
			reaches(t, 1, "the number of refusals", func() int64 { return srv.Stats().Refusals["denied"] })
			if tr.name != udpTransport.name {
				must(t, nc.SetReadDeadline(time.Now().Add(limit)))
				if n, err := nc.Read(make([]byte, 1)); err == nil {
					t.Errorf("%d bytes came", n)
				}
			}
			list.Set(nil, nil)
			echoesOver(t, url)
		})
	}
}
