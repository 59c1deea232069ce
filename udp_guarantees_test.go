// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// The guarantees of docs/lifecycle.md over UDP, where a peer neither connects
// nor closes: most tests of the other transports need both.

// onUDP are those that do not.
var onUDP = map[string]bool{
	"TestAllocEchoPerMessage":                  true,
	"TestClosedClientFailsAllCalls":            true,
	"TestConfigureErrorReachesTheDialer":       true,
	"TestD02CloseNeverDials":                   true,
	"TestD03DialReturnsTheErrorOfOnOpen":       true,
	"TestD09SessionLostWhileOpeningIsReplaced": true,
	"TestD12HandshakeStallsNobody":             true,
	"TestD13SelfConnectIsAFailedDial":          true,
	"TestD14APoolOf16IsFilledAtOnce":           true,
	"TestD14SlotsAreDialedInParallel":          true,
	"TestD17ConnectReportsDeclinedSlots":       true,
	"TestD18NoSlotIsDialedTwice":               true,
	"TestD19FailingOnOpenIsAFailure":           true,
	"TestG1NoSessionDelaysAnother":             true,
	"TestG2EndpointsRefuseAfterTheEnd":         true,
	"TestG2ShutdownOfBusyWorkers":              true,
	"TestG4DialReturnsTheFailure":              true,
	"TestG4PeersEndOnlyTheirOwnSession":        true,
	"TestLifeClosedInOnOpen":                   true,
	"TestSendReturnsOtherErrors":               true,
	"TestServeDrainTimeout":                    true,
	"TestServeListensOnAllOrNone":              true,
	"TestSessionEndsWithItsContext":            true,
	"TestWorkersOfADialedSessionEndWithIt":     true,
}

func TestG1UDPMessagesInWireOrder(t *testing.T) {
	const sessions, n, window = 3, 600, 20
	for _, workers := range []int{0, 1, 3} {
		t.Run(fmt.Sprint("workers ", workers), func(t *testing.T) {
			w := newWitness(t, funcs{Message: func(s *session, m string) error { return s.Send(m) }})
			srv, url := udpServe(t, w, getty.Config{Workers: workers, CronPeriod: time.Millisecond})
			var talking sync.WaitGroup
			for range sessions {
				nc := udpPeer(t, url)
				talking.Go(func() {
					buf := make([]byte, 100)
					for i := range n {
						if _, err := fmt.Fprintf(nc, "%d\n", i); err != nil {
							t.Error(err)
							return
						}
						if i < window {
							continue
						}
						// Some are on their way, not more than every buffer holds.
						got, err := nc.Read(buf)
						if want := fmt.Sprintf("%d\n", i-window); err != nil || string(buf[:got]) != want {
							t.Errorf("answer %q (%v), want %q", buf[:got], err, want)
							return
						}
					}
				})
			}
			talking.Wait()
			finish(t, srv)
			w.all(sessions)
		})
	}
}

// Close from everywhere at once: OnClose comes once, nothing is delivered after it.
func TestG2UDPCloseFromEverywhere(t *testing.T) {
	for _, side := range []string{"accepted", "dialed"} {
		t.Run(side, func(t *testing.T) {
			s, ep, nc, r := udpOpen(t, side, getty.Config{CloseTimeout: time.Hour})
			var closing sync.WaitGroup
			for range 8 {
				closing.Go(func() { must(t, s.Close()) })
			}
			closing.Wait()
			wantEnd(t, r, nil)
			if err := s.Send("late"); !errors.Is(err, getty.ErrClosed) || !getty.SafeToRetry(err) {
				t.Errorf("Send after Close: %v", err)
			}
			if side == "dialed" {
				_, _ = nc.Write([]byte("late\n"))
			}
			if ep != nil {
				finish(t, ep)
			}
			wantNoMore(t, r)
		})
	}
}

// udpOpen opens a session that has received "hello"; nc is its raw peer.
func udpOpen(t testing.TB, side string, cfg getty.Config) (s *session, ep endpoint, nc net.Conn, r *recorder) {
	t.Helper()
	r = record()
	if side == "accepted" {
		srv, url := udpServe(t, r, cfg)
		nc, ep = udpPeer(t, url), srv
		write(t, nc, "hello\n")
	} else {
		url, accept := udpListenRaw(t)
		s = dial(t, url, r, cfg)
		must(t, s.Send("hello"))
		nc = accept()
		if got := udpRead(t, nc); got != "hello\n" {
			t.Fatalf("got %q", got)
		}
		write(t, nc, "hello\n")
	}
	s = receive(t, r.opened, "OnOpen")
	receive(t, r.messages, "message")
	return s, ep, nc, r
}

// A callback that fails ends its own session, with a cause that says so.
func TestG4UDPFailingCallbackEndsOneSession(t *testing.T) {
	bad := errors.New("bad")
	fails := map[string]func() error{
		"error":  func() error { return bad },
		"panic":  func() error { panic(bad) },
		"Goexit": func() error { runtime.Goexit(); return nil },
	}
	for _, where := range []string{"OnOpen", "OnMessage", "OnCron", "OnClose"} {
		for name, fail := range fails {
			if name == "error" && (where == "OnCron" || where == "OnClose") {
				continue // they return none
			}
			for _, workers := range []int{0, 2} {
				t.Run(fmt.Sprint(where, " ", name, " ", workers), func(t *testing.T) {
					var once sync.Once // the first session is the one that fails
					var first *session
					failing := func(s *session, here string) (err error) {
						once.Do(func() { first = s })
						if s == first && here == where {
							return fail()
						}
						return nil
					}
					causes := make(chan error, 10)
					events := funcs{
						Open: func(s *session) error { return failing(s, "OnOpen") },
						Message: func(s *session, m string) error {
							if m == "close" {
								return s.Close()
							}
							if err := failing(s, "OnMessage"); err != nil {
								return err
							}
							return s.Send(m)
						},
						Cron: func(s *session) { _ = failing(s, "OnCron") },
						Close: func(s *session, cause error) {
							causes <- cause
							_ = failing(s, "OnClose")
						},
					}
					srv, url := udpServe(t, events, getty.Config{Workers: workers, CronPeriod: 5 * time.Millisecond})
					a, b := udpPeer(t, url), udpPeer(t, url)
					if write(t, a, "hello\n"); where == "OnClose" {
						write(t, a, "close\n")
					}
					cause := receive(t, causes, "OnClose")
					switch {
					case where == "OnClose":
						wantCause(t, cause, nil)
					case name == "Goexit":
						wantCause(t, cause, getty.ErrGoexit)
					default:
						wantCause(t, cause, bad)
					}
					udpWantEcho(t, b, "others go on\n")
					write(t, a, "again\n") // opens another session
					udpUntil(t, "echo of the next session", func() bool { return srv.Stats().MessagesOut >= 2 })
					finish(t, srv)
				})
			}
		}
	}
}

// udpSlow is a packet socket on which writing takes until the gate is open.
type udpSlow struct {
	net.PacketConn
	g      *gate
	closed chan struct{}
	once   sync.Once
}

func (u *udpSlow) WriteTo(p []byte, to net.Addr) (int, error) {
	select {
	case <-u.g.passed:
		return u.PacketConn.WriteTo(p, to)
	case <-u.closed:
		return 0, net.ErrClosed
	}
}

func (u *udpSlow) Close() error {
	u.once.Do(func() { close(u.closed) })
	return u.PacketConn.Close()
}

// udpSlowSession is a session on such a socket.
func udpSlowSession(t testing.TB, cfg getty.Config) (s *session, r *recorder, g *gate, nc net.Conn) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	r, g = record(), newGate(t)
	srv, err := getty.NewServer(codec.Line{}, r, cfg)
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.ServePacket(&udpSlow{PacketConn: pc, g: g, closed: make(chan struct{})}) })
	t.Cleanup(func() {
		_ = srv.Close()
		finish(t, srv)
		serving.Wait()
	})
	nc = udpPeer(t, pc.LocalAddr().String())
	write(t, nc, "hello\n")
	return receive(t, r.opened, "OnOpen"), r, g, nc
}

func TestG5UDPBackpressure(t *testing.T) {
	full := strings.Repeat("x", 99)
	for _, policy := range []getty.Policy{getty.PolicyBlock, getty.PolicyFail, getty.PolicyDrop, getty.PolicyClose} {
		t.Run(policy.String(), func(t *testing.T) {
			s, r, g, nc := udpSlowSession(t, getty.Config{HighWatermark: 200, Backpressure: policy, WriteTimeout: limit})
			must(t, s.Send(full))
			must(t, s.Send(full))
			if err := s.TrySend(full); !errors.Is(err, getty.ErrBackpressure) {
				t.Errorf("TrySend: %v", err)
			}
			sent := make(chan error, 1)
			go func() { sent <- s.Send("over") }()
			if policy == getty.PolicyBlock {
				select {
				case err := <-sent:
					t.Fatalf("Send did not wait: %v", err)
				default:
				}
				g.open()
			}
			err := receive(t, sent, "return of Send")
			want := map[getty.Policy]error{getty.PolicyFail: getty.ErrBackpressure, getty.PolicyClose: getty.ErrSlowConsumer}[policy]
			wantCause(t, err, want)
			g.open()
			if policy == getty.PolicyClose {
				wantEnd(t, r, getty.ErrSlowConsumer)
				return
			}
			for range 2 {
				if got := udpRead(t, nc); got != full+"\n" {
					t.Errorf("got %q", got)
				}
			}
			if policy == getty.PolicyBlock {
				if got := udpRead(t, nc); got != "over\n" {
					t.Errorf("got %q", got)
				}
			}
			if got := s.Stats().Dropped; (got == 1) != (policy == getty.PolicyDrop) {
				t.Errorf("%d dropped", got)
			}
		})
	}
}

func TestG6UDPKeepalive(t *testing.T) {
	for _, side := range []string{"accepted", "dialed"} {
		t.Run(side, func(t *testing.T) {
			keep := getty.Keepalive{Interval: 20 * time.Millisecond, Misses: 10, Frame: []byte("ping\n")}
			_, _, nc, r := udpOpen(t, side, getty.Config{Keepalive: keep})
			for range 5 {
				if got := udpRead(t, nc); got != "ping\n" {
					t.Fatalf("got %q", got)
				}
				write(t, nc, "pong\n")
				receive(t, r.messages, "pong")
			}
			wantEnd(t, r, getty.ErrKeepalive)
		})
	}
}

func TestUDPConfigureDeclines(t *testing.T) {
	no := errors.New("no")
	r := record()
	srv, url := serve(t, udpTransport, r, getty.Config{}, func(s *getty.Server[string]) {
		s.Configure = func(s *session, _ *setup) error {
			if err := s.Send("too soon"); !errors.Is(err, getty.ErrNotOpen) {
				t.Errorf("Send in Configure: %v", err)
			}
			return no
		}
	})
	nc := udpPeer(t, url)
	for i := range 3 {
		write(t, nc, "hello\n")
		udpUntil(t, "failure", func() bool { return srv.Stats().Failed == int64(i+1) })
	}
	finish(t, srv)
	if len(r.opened) != 0 || srv.Stats().UDP.Spoiled != 0 {
		t.Errorf("%d opened, statistics are %+v", len(r.opened), srv.Stats())
	}
	wantNoMore(t, r)
}

func TestUDPSessionsPerAddr(t *testing.T) {
	srv, url := udpServe(t, echo, getty.Config{MaxSessionsPerAddr: 1})
	udpWantEcho(t, udpPeer(t, url), "hello\n")
	write(t, udpPeer(t, url), "hello\n")
	udpUntil(t, "refusal", func() bool { return srv.Stats().Rejected == 1 })
}

// Senders of one session and of many do not mix their messages up.
func TestG3UDPConcurrentSenders(t *testing.T) {
	const senders, n = 8, 50
	for _, side := range []string{"accepted", "dialed"} {
		t.Run(side, func(t *testing.T) {
			s, _, nc, _ := udpOpen(t, side, getty.Config{})
			must(t, nc.(interface{ SetReadBuffer(int) error }).SetReadBuffer(1<<20))
			var sending sync.WaitGroup
			for i := range senders {
				sending.Go(func() {
					for j := range n {
						if err := s.Send(fmt.Sprint(i, " ", j)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			next := [senders]int{}
			for range senders * n {
				var i, j int
				got := udpRead(t, nc)
				if _, err := fmt.Sscanf(got, "%d %d\n", &i, &j); err != nil || next[i] != j {
					t.Fatalf("got %q (%v), want number %d of its sender", got, err, next[i])
				}
				next[i]++
			}
			sending.Wait()
		})
	}
}

// Packets that leave together arrive as they were sent, whatever their sizes.
func TestG3UDPPacketsThatLeaveTogether(t *testing.T) {
	sizes := []int{3, 3, 3, 2, 3, 3, 4, 1300, 1300, 5, 1232, 1232, 1231, 1233, 0, 0, 0, 7}
	for range 150 {
		sizes = append(sizes, 50)
	}
	answers := func(s *session, _ string) error {
		for i, n := range sizes {
			if err := s.Send(strings.Repeat(string(rune('a'+i%26)), n)); err != nil {
				return err
			}
		}
		return nil
	}
	for _, noOffload := range []bool{false, true} {
		for _, host := range []string{"127.0.0.1", ""} {
			t.Run(fmt.Sprintf("%q %t", host, noOffload), func(t *testing.T) {
				srv, err := getty.NewServer(codec.Line{}, funcs{Message: answers}, getty.Config{UDP: getty.UDP{NoOffload: noOffload}})
				must(t, err)
				must(t, srv.Listen("udp://"+host+":0"))
				t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
				nc := udpPeer(t, fmt.Sprintf("127.0.0.1:%d", srv.Addrs()[0].(*net.UDPAddr).Port))
				must(t, nc.SetReadBuffer(1<<20))
				write(t, nc, "one\nlast\n") // the answers to the first are collected
				bytes := 0
				for round := range 2 {
					for i, n := range sizes {
						want := strings.Repeat(string(rune('a'+i%26)), n) + "\n"
						if got := udpRead(t, nc); got != want {
							t.Fatalf("packet %d of round %d is %q, want %q", i, round, got, want)
						}
						bytes += n + 1
					}
				}
				udpUntil(t, "end of writing", func() bool { return srv.Stats().Pending == 0 })
				if st := srv.Stats(); st.BytesOut != int64(bytes) || st.UDP.SoftErrors+st.UDP.SendErrors != 0 {
					t.Errorf("statistics are %+v, want %d bytes", st, bytes)
				}
			})
		}
	}
}
