// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
)

// prefaced is a conn whose Preface is a function.
type prefaced struct {
	net.Conn
	preface func(nc net.Conn) (getty.Preface, error)
}

func (p prefaced) Preface() (getty.Preface, error) { return p.preface(p.Conn) }

func TestPrefaceIsBoundedAndIsolated(t *testing.T) {
	failure := errors.New("no preface")
	for name, tc := range map[string]struct {
		preface func(nc net.Conn) (getty.Preface, error)
		want    func(err error) bool
	}{
		"error": {
			func(net.Conn) (getty.Preface, error) { return getty.Preface{}, failure },
			func(err error) bool { return errors.Is(err, failure) },
		},
		"panic": {
			func(net.Conn) (getty.Preface, error) { panic(failure) },
			func(err error) bool { return errors.As(err, new(*getty.PanicError)) && errors.Is(err, failure) },
		},
		"exit": {
			func(net.Conn) (getty.Preface, error) { runtime.Goexit(); panic("unreachable") },
			func(err error) bool { return errors.Is(err, getty.ErrGoexit) },
		},
		"silence": {
			func(nc net.Conn) (getty.Preface, error) {
				_, err := nc.Read(make([]byte, 1))
				return getty.Preface{}, err
			},
			func(err error) bool { return errors.Is(err, getty.ErrHandshakeTimeout) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, v *virtual) {
				o, r, bad := observe(), record(), true
				v.wrap = func(nc net.Conn) net.Conn {
					p := prefaced{nc, func(net.Conn) (getty.Preface, error) { return getty.Preface{}, nil }}
					if bad {
						p.preface = tc.preface
					}
					return p
				}
				srv := v.serve(t, r, getty.Config{Observer: o, HandshakeTimeout: time.Second}, nil)
				nc, err := v.Dial(t.Context(), "tcp", "server:1")
				must(t, err)
				synctest.Wait()
				bad = false
				other := v.dial(t)
				write(t, other, "hello\n")
				receive(t, r.messages, "message")
				time.Sleep(2 * time.Second)
				if err := receive(t, o.failed, "failure"); !tc.want(err) {
					t.Errorf("it failed with %v", err)
				}
				if _, err := nc.Read(make([]byte, 1)); err == nil {
					t.Error("the connection is open")
				}
				if st := srv.Stats(); st.Failed != 1 || st.Sessions != 1 {
					t.Errorf("the statistics are %+v", st)
				}
			})
		})
	}
}

// silence is a Preface that waits until the conn is closed.
func silence(nc net.Conn) (getty.Preface, error) {
	_, err := nc.Read(make([]byte, 1))
	return getty.Preface{}, err
}

// Connections in their preface are closed with the server.
func TestPrefacesEndWithTheServer(t *testing.T) {
	for name, end := range map[string]func(*getty.Server[string], context.Context) error{
		"Shutdown": (*getty.Server[string]).Shutdown,
		"Close":    func(s *getty.Server[string], _ context.Context) error { return s.Close() },
		"Farewell": func(s *getty.Server[string], ctx context.Context) error {
			s.Farewell = func(*session) {}
			return s.Shutdown(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, v *virtual) {
				o := observe()
				v.wrap = func(nc net.Conn) net.Conn { return prefaced{nc, silence} }
				srv := v.serve(t, record(), getty.Config{Observer: o, HandshakeTimeout: time.Hour}, nil)
				nc, err := v.Dial(t.Context(), "tcp", "server:1")
				must(t, err)
				synctest.Wait()
				if st := srv.Stats(); st.Opening != 1 || st.Sessions != 0 {
					t.Errorf("the statistics are %+v", st)
				}
				begin := v.since()
				must(t, end(srv, t.Context()))
				if took := v.since() - begin; took > time.Second {
					t.Errorf("it took %v", took)
				}
				if err := receive(t, o.failed, "failure"); !errors.Is(err, getty.ErrShutdown) {
					t.Errorf("it failed with %v", err)
				}
				if _, err := nc.Read(make([]byte, 1)); err == nil {
					t.Error("the connection is open")
				}
				if st := srv.Stats(); st.Opening != 0 || st.Failed != 1 {
					t.Errorf("the statistics are %+v", st)
				}
			})
		})
	}
}

// One that is silent takes nothing of the time for closing.
func TestPrefacesLeaveTimeToClose(t *testing.T) {
	const deadline = time.Second
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		r, silent := record(), false
		v.wrap = func(nc net.Conn) net.Conn {
			if silent {
				return prefaced{nc, silence}
			}
			return nc
		}
		srv := waving(v, t, r, getty.Config{HandshakeTimeout: time.Hour}, func(s *session) { _ = s.Send("bye") })
		nc := v.dial(t)
		tp := v.tape(nc)
		silent = true
		other, err := v.Dial(t.Context(), "tcp", "server:1")
		must(t, err)
		defer other.Close()
		synctest.Wait()
		begin := v.since()
		time.AfterFunc(deadline/2+time.Millisecond, func() { _ = nc.Close() }) // it has heard that it is over
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if took := v.since() - begin; took < deadline/2 || took >= deadline {
			t.Errorf("it took %v", took)
		}
		if got := tp.text(); got != "bye\n" {
			t.Errorf("the peer got %q", got)
		}
		wantCause(t, receive(t, r.closed, "OnClose"), getty.ErrShutdown)
	})
}

// One that does not return is named.
func TestShutdownNamesPrefaces(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		leave := make(chan struct{})
		v.wrap = func(nc net.Conn) net.Conn {
			return prefaced{nc, func(net.Conn) (getty.Preface, error) { <-leave; return getty.Preface{}, nil }}
		}
		srv := v.serve(t, record(), getty.Config{}, nil)
		_, err := v.Dial(t.Context(), "tcp", "server:1")
		must(t, err)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "1 connections are in Preface") {
			t.Errorf("Shutdown returned %v", err)
		}
		close(leave)
	})
}

// They take the places of sessions, and keep theirs when they become one.
func TestPrefacesCountForMaxSessions(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		var going atomic.Bool
		goOn := make(chan struct{})
		v.wrap = func(nc net.Conn) net.Conn {
			return prefaced{nc, func(net.Conn) (getty.Preface, error) {
				if !going.Load() {
					<-goOn
				}
				return getty.Preface{}, nil
			}}
		}
		o, r := observe(), record()
		srv := v.serve(t, r, getty.Config{MaxSessions: 1, Observer: o}, nil)
		first := make(chan net.Conn)
		go func() { first <- v.dial(t) }()
		time.Sleep(time.Second)
		for range 2 {
			nc, err := v.Dial(t.Context(), "tcp", "server:1")
			must(t, err)
			if _, err := nc.Read(make([]byte, 1)); err == nil {
				t.Error("the connection is open")
			}
			if err := receive(t, o.failed, "refusal"); !errors.Is(err, getty.ErrTooManySessions) {
				t.Errorf("it was refused with %v", err)
			}
			if st := srv.Stats(); st.Rejected == 0 || st.Failed != 0 || st.Opening+st.Sessions != 1 {
				t.Errorf("the statistics are %+v", st)
			}
			if !going.Swap(true) {
				close(goOn)
				write(t, <-first, "hello\n")
				receive(t, r.messages, "message")
			}
		}
	})
}

// An address that is none of IP is no way past the guard: the conn's own counts.
func TestPrefacesWithoutAnIPAddress(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, v *virtual) {
		v.wrap = func(nc net.Conn) net.Conn {
			return prefaced{nc, func(net.Conn) (getty.Preface, error) {
				return getty.Preface{Remote: &net.UnixAddr{Net: "unix", Name: "/tmp/x"}}, nil
			}}
		}
		o, r := observe(), record()
		list := getty.NewAccessList([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil)
		v.serve(t, r, getty.Config{Observer: o, MaxSessionsPerAddr: 1, Guard: getty.Guard{Access: list}}, nil)
		v.dial(t)
		if s := receive(t, r.opened, "OnOpen"); s.RemoteAddr().String() != "/tmp/x" {
			t.Errorf("it comes from %s", s.RemoteAddr())
		}
		for _, want := range []error{getty.ErrTooManySessions, getty.ErrDenied} {
			nc, err := v.Dial(t.Context(), "tcp", "server:1")
			must(t, err)
			t.Cleanup(func() { _ = nc.Close() })
			if err := receive(t, o.failed, "refusal"); !errors.Is(err, want) {
				t.Errorf("it was refused with %v, want %v", err, want)
			}
			list.Set([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil)
		}
	})
}
