// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"errors"
	"net"
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
