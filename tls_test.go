// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// signedBySelf makes a certificate for the names, and the pool that trusts it.
func signedBySelf(t testing.TB, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "another"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// eachSecure is eachTransport for those over TLS.
func eachSecure(t *testing.T, test func(t *testing.T, tr transport)) {
	eachTransport(t, func(t *testing.T, tr transport) {
		if tr.name == "tls" || tr.name == "wss" {
			test(t, tr)
		}
	})
}

// observed is an Observer that keeps what it is told.
type observed struct {
	failed chan error // ConnFailed
	closed chan error // SessionClosed: the session is not counted any more
}

func observe() *observed {
	return &observed{failed: make(chan error, 1024), closed: make(chan error, 1024)}
}

func (o *observed) SessionOpened(getty.SessionInfo) {}

func (o *observed) SessionClosed(_ getty.SessionInfo, _ getty.SessionStats, cause error) {
	o.closed <- cause
}

func (o *observed) ConnFailed(_ string, _ net.Addr, err error) { o.failed <- err }

// bothClients connects in both ways and returns their errors.
func bothClients(t *testing.T, url string, cfg getty.ClientConfig) [2]error {
	t.Helper()
	s, err := getty.Dial(within(t), url, codec.Line{}, echo, cfg.Config)
	if err == nil {
		_ = s.Close()
	}
	cfg.MaxFailures = 1
	c, cerr := getty.NewClient(url, codec.Line{}, echo, cfg)
	must(t, cerr)
	t.Cleanup(func() { must(t, c.Shutdown(within(t))) })
	return [2]error{err, c.Connect(within(t))}
}

// D44: the client verified nothing.
func TestD44ClientVerifiesTheServer(t *testing.T) {
	eachSecure(t, func(t *testing.T, tr transport) {
		_, otherPool := signedBySelf(t, "localhost")
		_, ours := certificate()
		unknown := func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }
		wrongName := func(err error) bool { return errors.As(err, new(x509.HostnameError)) }
		for _, tc := range []struct {
			name  string
			cfg   *tls.Config
			wants func(error) bool
		}{
			{"system's roots by default", nil, unknown},
			{"empty configuration", &tls.Config{}, unknown},
			{"other roots", &tls.Config{RootCAs: otherPool}, unknown},
			{"another name", &tls.Config{RootCAs: ours, ServerName: "example.com"}, wrongName},
			{"the right roots", &tls.Config{RootCAs: ours}, nil},
			{"in so many words", &tls.Config{InsecureSkipVerify: true}, nil},
		} {
			t.Run(tc.name, func(t *testing.T) {
				_, url := serve(t, tr, echo, getty.Config{}, nil)
				for _, err := range bothClients(t, url, getty.ClientConfig{Config: getty.Config{TLS: tc.cfg}}) {
					switch {
					case tc.wants == nil:
						must(t, err)
					case !tc.wants(err):
						t.Errorf("the error is %v", err)
					}
				}
			})
		}
	})
}

// The name to verify is that of the URL, whatever the Dial hook connects to.
func TestD44ServerNameIsTheHostOfTheURL(t *testing.T) {
	eachSecure(t, func(t *testing.T, tr transport) {
		cert, pool := signedBySelf(t, "service.internal")
		asked := make(chan string, 16)
		cfg := getty.Config{TLS: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked <- hello.ServerName
			return &cert, nil
		}}}
		_, url := serve(t, tr, echo, cfg, nil)
		for _, tc := range []struct {
			url, name, asked string
			ok               bool
		}{
			{tr.name + "://service.internal:443", "", "service.internal", true},
			{tr.name + "://service.internal:443", "elsewhere.internal", "elsewhere.internal", false},
			{tr.name + "://elsewhere.internal:443", "", "elsewhere.internal", false},
			{tr.name + "://elsewhere.internal:443", "service.internal", "service.internal", true},
			{tr.name + "://[::1]:443", "", "", false},
		} {
			c := pooled(t, tc.url, echo, getty.ClientConfig{
				MaxFailures: 1, Dial: routeTo(url).dial,
				Config: getty.Config{TLS: &tls.Config{RootCAs: pool, ServerName: tc.name}},
			})
			if err := c.Connect(within(t)); (err == nil) != tc.ok {
				t.Errorf("%s with ServerName %q: the error is %v", tc.url, tc.name, err)
			}
			if got := receive(t, asked, "server name"); got != tc.asked {
				t.Errorf("%s with ServerName %q asked for %q", tc.url, tc.name, got)
			}
		}
	})
}

// D44: the server asked for a certificate, and looked at none.
func TestD44ServerVerifiesItsClients(t *testing.T) {
	eachSecure(t, func(t *testing.T, tr transport) {
		good, roots := certificate()
		bad, _ := signedBySelf(t, "localhost")
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, tc := range []struct {
				name string
				cert *tls.Certificate
			}{{"trusted", &good}, {"signed by another", &bad}, {"none", nil}} {
				t.Run(tls.VersionName(version)+"/"+tc.name, func(t *testing.T) {
					r, o := record(), observe()
					cfg := getty.Config{TLS: serverTLS(), Observer: o}
					cfg.TLS.ClientAuth, cfg.TLS.ClientCAs, cfg.TLS.MaxVersion = tls.RequireAndVerifyClientCert, roots, version
					srv, url := serve(t, tr, r, cfg, nil)
					ccfg := clientTLS()
					ccfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						if tc.cert == nil {
							return &tls.Certificate{}, nil
						}
						return tc.cert, nil
					}
					// Under TLS 1.3 the client learns of its refusal when it reads.
					cr := record()
					s, err := getty.Dial(within(t), url, codec.Line{}, cr, getty.Config{TLS: ccfg})
					if tc.cert == &good {
						must(t, err)
						_ = receive(t, r.opened, "OnOpen at the server")
						must(t, s.Close())
						return
					}
					refusal := receive(t, o.failed, "ConnFailed")
					if err == nil {
						err = receive(t, cr.closed, "OnClose at the client")
					}
					if err == nil || errors.Is(err, io.EOF) {
						t.Errorf("the client got %v, want TLS's alert", err)
					}
					if st := srv.Stats(); st.Opened != 0 || st.Failed != 1 || len(r.opened) != 0 {
						t.Fatalf("after %v the statistics are %+v", refusal, st)
					}
				})
			}
		}
	})
}

// NetConn is the TLS conn, with the peer's certificates, from Configure on.
func TestD44PeerCertificatesAreSeenInConfigure(t *testing.T) {
	eachSecure(t, func(t *testing.T, tr transport) {
		good, roots := certificate()
		names := make(chan string, 1)
		cfg := getty.Config{TLS: serverTLS()}
		cfg.TLS.ClientAuth, cfg.TLS.ClientCAs = tls.RequireAndVerifyClientCert, roots
		_, url := serve(t, tr, echo, cfg, func(srv *getty.Server[string]) {
			srv.Configure = func(s *session, _ *setup) error {
				state := s.NetConn().(*tls.Conn).ConnectionState()
				names <- state.PeerCertificates[0].Subject.CommonName
				return nil
			}
		})
		ccfg := clientTLS()
		ccfg.Certificates = []tls.Certificate{good}
		dial(t, url, echo, getty.Config{TLS: ccfg})
		if name := receive(t, names, "Configure"); name != "getty test" {
			t.Fatalf("the client is %q", name)
		}
	})
}

// D45: TLS that cannot be had is an error at the start, never silence.
func TestD45ServerWithoutCertificate(t *testing.T) {
	eachSecure(t, func(t *testing.T, tr transport) {
		for name, cfg := range map[string]*tls.Config{"nil": nil, "empty": {}} {
			t.Run(name, func(t *testing.T) {
				srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{TLS: cfg})
				must(t, err)
				t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
				checkConfigError(t, srv.Listen(tr.url(t)), "Config.TLS", tr.name+":// needs")
				checkConfigError(t, srv.Listen("tcp://127.0.0.1:0", tr.url(t)), "Config.TLS", "certificate")
				checkConfigError(t, srv.ListenAndServe(within(t), tr.url(t)), "Config.TLS", "certificate")
				l, err := net.Listen("tcp", "127.0.0.1:0")
				must(t, err)
				checkConfigError(t, serveSecure(tr)(srv, l), "Config.TLS", "certificate")
				if err := l.Close(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("ServeTLS left its listener open: %v", err)
				}
				must(t, srv.Listen("tcp://127.0.0.1:0")) // which needs none
				if len(srv.Addrs()) != 1 {
					t.Errorf("it listens on %v", srv.URLs())
				}
			})
		}
	})
}

// D45: functions of the configuration that fail end that handshake only. The
// next client is served.
func TestD45FailingFunctionsOfTheConfiguration(t *testing.T) {
	eachSecure(t, func(t *testing.T, tr transport) {
		cert, _ := certificate()
		failures := []func() (*tls.Certificate, error){
			func() (*tls.Certificate, error) { return nil, nil },
			func() (*tls.Certificate, error) { return nil, errNoService },
			func() (*tls.Certificate, error) { panic("no certificate") },
			func() (*tls.Certificate, error) { runtime.Goexit(); return nil, nil },
		}
		calls := make(chan func() (*tls.Certificate, error), len(failures))
		o := observe()
		cfg := getty.Config{Observer: o, TLS: &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				select {
				case fail := <-calls:
					return fail()
				default:
					return &cert, nil
				}
			},
		}}
		srv, url := serve(t, tr, echo, cfg, nil)
		for i, fail := range failures {
			calls <- fail
			if _, err := getty.Dial(within(t), url, codec.Line{}, echo, getty.Config{TLS: clientTLS()}); err == nil {
				t.Errorf("failure %d: connected", i)
			}
			receive(t, o.failed, "ConnFailed")
			echoesOver(t, url)
		}
		if st := srv.Stats(); st.Failed != int64(len(failures)) {
			t.Fatalf("the statistics are %+v", st)
		}
	})
}

// The client's functions, likewise.
func TestD45FailingFunctionsOfTheClient(t *testing.T) {
	eachSecure(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		for name, fail := range map[string]func() error{
			"fails":  func() error { return errNoService },
			"panics": func() error { panic(errNoService) },
			"exits":  func() error { runtime.Goexit(); return nil },
		} {
			t.Run(name, func(t *testing.T) {
				cfg := clientTLS()
				cfg.VerifyConnection = func(tls.ConnectionState) error { return fail() }
				for _, err := range bothClients(t, url, getty.ClientConfig{Config: getty.Config{TLS: cfg}}) {
					if !errors.Is(err, errNoService) && !errors.Is(err, getty.ErrGoexit) {
						t.Errorf("the error is %v", err)
					}
				}
			})
		}
	})
}

// D54: whoever does not finish the handshake is cut, and keeps nobody out.
func TestD54HandshakesDoNotStallAccepting(t *testing.T) {
	eachSecure(t, func(t *testing.T, tr transport) {
		o := observe()
		_, url := serve(t, tr, echo, getty.Config{HandshakeTimeout: time.Hour, Observer: o}, nil)
		for range 50 {
			tcpPeer(t, url)
		}
		echoesOver(t, url)
		if len(o.failed) != 0 {
			t.Fatalf("a handshake failed: %v", <-o.failed)
		}
	})
}

func TestD54HandshakeThatNeverEndsIsCut(t *testing.T) {
	eachSecure(t, func(t *testing.T, tr transport) {
		o := observe()
		srv, url := serve(t, tr, echo, getty.Config{HandshakeTimeout: 20 * time.Millisecond, Observer: o}, nil)
		nc := tcpPeer(t, url)
		if _, err := nc.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the silent connection got %v", err)
		}
		if err := receive(t, o.failed, "ConnFailed"); !errors.Is(err, getty.ErrHandshakeTimeout) {
			t.Fatalf("ConnFailed got %v", err)
		}
		if st := srv.Stats(); st.Failed != 1 || st.Opening != 0 || st.Opened != 0 {
			t.Fatalf("the statistics are %+v", st)
		}
	})
}

// A byte now and then does not prolong it, on either side.
func TestD54HandshakeTimeoutIsForTheWholeHandshake(t *testing.T) {
	eachSecure(t, func(t *testing.T, tr transport) {
		for _, timeout := range []time.Duration{0, time.Minute} {
			t.Run(timeout.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var dripping sync.WaitGroup
					t.Cleanup(dripping.Wait) // the clock stands still after the end
					want := timeout
					if want == 0 {
						want = getty.DefaultHandshakeTimeout
					}
					o := observe()
					cfg := getty.Config{TLS: serverTLS(), HandshakeTimeout: timeout, Observer: o}
					srv, l := newPipeServer(t, echo, cfg, serveSecure(tr))
					start, far := time.Now(), l.connect()
					dripping.Go(func() { drip(far, want/20) })
					if err := <-o.failed; !errors.Is(err, getty.ErrHandshakeTimeout) {
						t.Errorf("ConnFailed got %v", err)
					}
					if took := time.Since(start); took != want {
						t.Errorf("a handshake ended after %v, want %v", took, want)
					}
					must(t, srv.Close())

					start = time.Now()
					cc := getty.ClientConfig{MaxFailures: 1, Dial: dialing(answerPipe).dial}
					cc.HandshakeTimeout = timeout
					err := pooled(t, tr.name+"://service:1", echo, cc).Connect(t.Context())
					if !errors.Is(err, getty.ErrHandshakeTimeout) || time.Since(start) != want {
						t.Errorf("the client got %v after %v", err, time.Since(start))
					}
				})
			})
		}
	})
}

// serveSecure is how a server serves a listener of that transport.
func serveSecure(tr transport) func(*getty.Server[string], net.Listener) error {
	return func(srv *getty.Server[string], l net.Listener) error {
		if tr.name == "wss" {
			return srv.ServeWebSocketTLS(l, "/")
		}
		return srv.ServeTLS(l)
	}
}

// drip writes the beginning of a TLS record, a byte at a time.
func drip(nc net.Conn, every time.Duration) {
	for _, b := range []byte{22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} {
		if _, err := nc.Write([]byte{b}); err != nil {
			return
		}
		time.Sleep(every)
	}
}

// Who closes the conn below a session, and not the session, may be late.
func TestClosingTheTLSConnBelow(t *testing.T) {
	eachTransport(t, func(t *testing.T, tr transport) {
		if tr.name != "tls" && tr.name != "wss" {
			t.Skip("there is no tls.Conn")
		}
		for range 20 {
			r := record()
			s, nc := accepted(t, tr, r, getty.Config{}, nil)
			below := s.NetConn()
			var wg sync.WaitGroup
			wg.Go(func() { _ = s.Send("one") })
			wg.Go(func() { _ = nc.Close() })
			wg.Go(func() { _ = below.Close() })
			_ = receive(t, r.closed, "OnClose")
			wg.Wait()
			_ = below.Close()
		}
	})
}
