// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

type recorder = gettytest.Recorder[string]

// echo is a recorder that sends every message back.
func echo() *recorder {
	return &recorder{OnMessageFunc: func(s *getty.Session[string], msg string) error { return s.Send(msg) }}
}

// linePair is a pair of lines whose network must be empty after the test.
func linePair(t *testing.T, server, client getty.EventListener[string], opt gettytest.Options) *gettytest.Pair[string] {
	t.Helper()
	var p *gettytest.Pair[string]
	t.Cleanup(func() {
		if open := p.Network.Conns(); open != 0 {
			t.Errorf("%d conns are left after the shutdown", open)
		}
	})
	p = gettytest.NewPair(t, codec.Line{}, server, client, opt)
	return p
}

// roundTrips sends n messages and waits for their echoes.
func roundTrips(t *testing.T, p *gettytest.Pair[string], client *recorder, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	before := len(client.Messages())
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint("message ", i))
		check(t, p.Client.Send(ctx, want[i]))
	}
	got, err := client.WaitMessages(ctx, before+n)
	check(t, err)
	if !slices.Equal(got[before:], want) {
		t.Errorf("echoes %q, want %q", got[before:], want)
	}
}

func TestPair(t *testing.T) {
	faults := []gettytest.Faults{
		{},
		{Latency: time.Second},
		{Seed: 1, Latency: time.Millisecond, Jitter: time.Second, MaxRead: 3, MaxWrite: 5, Buffer: 70},
	}
	for _, f := range faults {
		bubble(t, fmt.Sprintf("%+v", f), func(t *testing.T) {
			server, client := echo(), new(recorder)
			roundTrips(t, linePair(t, server, client, gettytest.Options{Faults: f}), client, 20)
		})
	}
	t.Run("in real time", func(t *testing.T) {
		server, client := echo(), new(recorder)
		roundTrips(t, linePair(t, server, client, gettytest.Options{}), client, 20)
	})
}

func TestPairConfig(t *testing.T) {
	common, own := getty.Config{MaxMessageSize: 100}, getty.Config{MaxMessageSize: 10}
	for _, c := range []struct {
		name           string
		opt            gettytest.Options
		server, client int // the longest message that arrives, of 5, 50 and 500
	}{
		{"none", gettytest.Options{}, 500, 500},
		{"for both", gettytest.Options{Config: common}, 50, 50},
		{"server's own", gettytest.Options{Config: common, Server: own}, 5, 50},
		{"client's own", gettytest.Options{Config: common, Client: getty.ClientConfig{Config: own}}, 50, 5},
		{"server only", gettytest.Options{Server: own}, 5, 500},
	} {
		bubble(t, c.name, func(t *testing.T) {
			server, client := new(recorder), new(recorder)
			p := linePair(t, server, client, c.opt)
			sessions, err := server.WaitOpen(t.Context(), 1)
			check(t, err)
			for _, size := range []int{5, 50, 500} {
				text := strings.Repeat("x", size)
				_, _ = sessions[0].Send(text), p.Client.Send(t.Context(), text)
				synctest.Wait()
			}
			for _, side := range []struct {
				name string
				r    *recorder
				want int
			}{{"server", server, c.server}, {"client", client, c.client}} {
				texts := side.r.Texts()
				// The first side to find a message too long ends the session.
				if len(texts) == 0 || len(texts[len(texts)-1]) > side.want {
					t.Errorf("%s got %q, want at most %d bytes", side.name, texts, side.want)
				}
			}
		})
	}
}

func TestPairOverTLS(t *testing.T) {
	cert, roots := selfSigned(t)
	opt := gettytest.Options{
		Faults: gettytest.Faults{Latency: time.Millisecond, MaxRead: 100, MaxWrite: 100},
		Server: getty.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}},
		Client: getty.ClientConfig{Config: getty.Config{TLS: &tls.Config{RootCAs: roots}}},
	}
	bubble(t, "bubble", func(t *testing.T) {
		server, client := echo(), new(recorder)
		p := linePair(t, server, client, opt)
		if p.URL != "tls://"+p.Addr {
			t.Errorf("the URL is %s", p.URL)
		}
		roundTrips(t, p, client, 10)
	})
	t.Run("in real time", func(t *testing.T) {
		server, client := echo(), new(recorder)
		roundTrips(t, linePair(t, server, client, opt), client, 10)
	})
}

// selfSigned makes a certificate of the host "mem", valid on the clock of
// bubbles, which begins in the year 2000, and on that of the wall.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mem"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	check(t, err)
	leaf, err := x509.ParseCertificate(der)
	check(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, roots
}

func TestPairReconnectsAfterReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := echo(), new(recorder)
		p := linePair(t, server, client, gettytest.Options{Client: getty.ClientConfig{PoolSize: 3}})
		roundTrips(t, p, client, 1)
		p.Network.Reset()
		if _, err := client.WaitOpen(t.Context(), 6); err != nil {
			t.Fatal(err)
		}
		for _, cause := range client.Causes() {
			wantErr(t, "OnClose", cause, syscall.ECONNRESET)
		}
		roundTrips(t, p, client, 1)
	})
}

func TestPairInPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := echo(), new(recorder)
		p := linePair(t, server, client, gettytest.Options{
			Config: getty.Config{IdleTimeout: time.Hour},
			Faults: gettytest.Faults{Latency: time.Second},
		})
		p.Network.Partition(gettytest.ServerToClient)
		check(t, p.Client.Send(t.Context(), "are you there?"))
		_, err := server.WaitMessages(t.Context(), 1)
		check(t, err)
		time.Sleep(time.Minute)
		if got := client.Texts(); len(got) != 0 {
			t.Errorf("%q came through the partition", got)
		}
		p.Network.Heal()
		_, err = client.WaitMessages(t.Context(), 1)
		check(t, err)

		p.Network.Partition(gettytest.BothWays)
		start := time.Now()
		check(t, server.WaitClosed(t.Context()))
		if d := time.Since(start); d > time.Hour {
			t.Errorf("the idle timeout took %v", d)
		}
		wantErrIs(t, server.Causes()[0], getty.ErrIdle)
	})
}

// The example of the package's documentation.
func TestPairIdleInPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := new(gettytest.Recorder[string])
		p := gettytest.NewPair(t, codec.Line{}, events, getty.NopEvents[string]{}, gettytest.Options{
			Config: getty.Config{IdleTimeout: time.Minute},
		})
		p.Network.Partition(gettytest.BothWays)
		check(t, events.WaitClosed(t.Context()))
	})
}

func TestPairCountsSessionsOfOneAddr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := new(recorder)
		p := linePair(t, server, new(recorder), gettytest.Options{Server: getty.Config{MaxSessionsPerAddr: 1}})
		_, err := server.WaitOpen(t.Context(), 1) // or the pair's own session could be the one too many
		check(t, err)
		c, err := p.Network.Dial(t.Context(), "tcp", p.Addr)
		check(t, err)
		_, err = c.Read(make([]byte, 1))
		wantErrIs(t, err, io.EOF)
		check(t, c.Close())
		if n := p.Server.Stats().Rejected; n != 1 {
			t.Errorf("%d rejected", n)
		}
	})
}

func TestPairShutdownTellsBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := new(recorder), new(recorder)
		p := linePair(t, server, client, gettytest.Options{Faults: gettytest.Faults{Latency: time.Millisecond}})
		check(t, p.Client.Send(t.Context(), "last words"))
		check(t, p.Client.Shutdown(t.Context()))
		check(t, server.WaitClosed(t.Context()))
		wantErrIs(t, client.Causes()[0], getty.ErrShutdown)
		wantErrIs(t, server.Causes()[0], io.EOF)
		if got := server.Texts(); !slices.Equal(got, []string{"last words"}) {
			t.Errorf("the server got %q", got)
		}
	})
}

// A partition that is still there when the test ends must not delay its end.
func TestPairCleanupHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		t.Cleanup(func() {
			if d := time.Since(start); d > 100*time.Millisecond {
				t.Errorf("the test ended after %v", d)
			}
		})
		p := linePair(t, new(recorder), new(recorder), gettytest.Options{Faults: gettytest.Faults{Latency: time.Millisecond}})
		p.Network.Partition(gettytest.BothWays)
		check(t, p.Client.Send(t.Context(), "held"))
	})
}
