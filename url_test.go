// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// urlUsers are the calls that take a URL.
var urlUsers = []struct {
	name string
	give func(t testing.TB, url string) error
}{
	{"NewClient", func(_ testing.TB, url string) error {
		_, err := getty.NewClient(url, codec.Line{}, echo, getty.ClientConfig{})
		return err
	}},
	{"Dial", func(t testing.TB, url string) error {
		_, err := getty.Dial(within(t), url, codec.Line{}, echo, getty.Config{})
		return err
	}},
	{"Listen", func(t testing.TB, url string) error { return listenOn(t, url) }},
	{"Listen behind a good one", func(t testing.TB, url string) error {
		return listenOn(t, "tcp://127.0.0.1:0", url)
	}},
	{"ListenAndServe", func(t testing.TB, url string) error {
		srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{TLS: serverTLS()})
		must(t, err)
		return srv.ListenAndServe(within(t), url)
	}},
}

// listenOn expects to fail and to leave nothing open.
func listenOn(t testing.TB, urls ...string) error {
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{TLS: serverTLS()})
	must(t, err)
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	err = srv.Listen(urls...)
	if err != nil && len(srv.Addrs()) != 0 {
		t.Errorf("after %v it listens on %v", err, srv.Addrs())
	}
	return err
}

func TestBadURLs(t *testing.T) {
	for _, tc := range []struct{ url, want string }{
		{"", "no scheme"},
		{"127.0.0.1:9000", "no scheme"},
		{"tcp:127.0.0.1:9000", "no scheme"},
		{"tcp:/127.0.0.1:9000", "no scheme"},
		{"://127.0.0.1:9000", "unknown scheme"},
		{"http://127.0.0.1:9000", "unknown scheme"},
		{"tcp4://127.0.0.1:9000", "unknown scheme"},
		{" tcp://127.0.0.1:9000", "unknown scheme"},
		{"tcp://", "no port"},
		{"tcp://127.0.0.1", "no port"},
		{"tls://127.0.0.1", "no port"},
		{"tls://localhost/", "no port"},
		{"tcp://[::1]", "no port"},
		{"tcp://::1:9000", "no port"},
		{"tcp://127.0.0.1:", "want 0 to 65535"},
		{"tcp://127.0.0.1:http", "want 0 to 65535"},
		{"tcp://127.0.0.1:-1", "want 0 to 65535"},
		{"tcp://127.0.0.1:65536", "want 0 to 65535"},
		{"tcp://127.0.0.1:9000/path", "want 0 to 65535"},
		{"tcp://127.0.0.1:9000?x=1", "more than host and port"},
		{"tcp://127.0.0.1:9000/?x=1", "more than host and port"},
		{"tcp://127.0.0.1:9000#x", "more than host and port"},
		{"tls://user@127.0.0.1:9000", "more than host and port"},
		{"unix://", "no path"},
	} {
		for _, u := range urlUsers {
			t.Run(fmt.Sprintf("%s/%q", u.name, tc.url), func(t *testing.T) {
				err := u.give(t, tc.url)
				var ce *getty.ConfigError
				if !errors.As(err, &ce) {
					t.Fatalf("the error is %v, want a ConfigError", err)
				}
				if !strings.Contains(ce.Field, fmt.Sprintf("%q", tc.url)) || !strings.Contains(ce.Problem, tc.want) {
					t.Fatalf("the error is %q, want the URL and %q", err, tc.want)
				}
			})
		}
	}
}

// What a client makes of its URL is what its Dial hook is told.
func TestURLsAsDialed(t *testing.T) {
	for _, tc := range []struct{ url, network, address string }{
		{"tcp://127.0.0.1:9000", "tcp", "127.0.0.1:9000"},
		{"tcp://127.0.0.1:9000/", "tcp", "127.0.0.1:9000"},
		{"tcp://localhost:65535", "tcp", "localhost:65535"},
		{"tcp://:9000", "tcp", ":9000"},
		{"tcp://example.com:0", "tcp", "example.com:0"},
		{"tcp://[::1]:9000", "tcp", "[::1]:9000"},
		{"tcp://[::]:0", "tcp", "[::]:0"},
		{"tcp://[fe80::1%eth0]:9000", "tcp", "[fe80::1%eth0]:9000"},
		{"tls://[2001:db8::1]:443", "tcp", "[2001:db8::1]:443"},
		{"tls://example.com:443", "tcp", "example.com:443"},
		{"unix:///run/a.sock", "unix", "/run/a.sock"},
		{"unix://a.sock", "unix", "a.sock"},
		{"unix:///run/with space?and#more", "unix", "/run/with space?and#more"},
		{"unix://@abstract", "unix", "@abstract"},
	} {
		t.Run(tc.url, func(t *testing.T) {
			dialed := make(chan [2]string, 1)
			c := pooled(t, tc.url, echo, getty.ClientConfig{
				MaxFailures: 1,
				Dial: func(_ context.Context, network, address string) (net.Conn, error) {
					dialed <- [2]string{network, address}
					return nil, errNoService
				},
			})
			if err := c.Connect(within(t)); !errors.Is(err, errNoService) {
				t.Fatal(err)
			}
			if got := receive(t, dialed, "dial"); got != [2]string{tc.network, tc.address} {
				t.Fatalf("dialed %q, want %q and %q", got, tc.network, tc.address)
			}
		})
	}
}

// echoesOver sends one message over url and back.
func echoesOver(t *testing.T, url string) {
	t.Helper()
	r := record()
	s := dial(t, url, r, getty.Config{})
	must(t, s.Send("hello"))
	if got := receive(t, r.messages, "answer"); got != "hello" {
		t.Fatalf("the answer is %q", got)
	}
	must(t, s.Close())
	receive(t, r.closed, "OnClose")
}

// The URLs that a server gives out can be dialed, with the ports that the system chose.
func TestURLsAsListenedOn(t *testing.T) {
	for _, tc := range []struct{ name, url string }{
		{"IPv4", "tcp://127.0.0.1:0"},
		{"IPv4 under TLS", "tls://127.0.0.1:0"},
		{"IPv6", "tcp://[::1]:0"},
		{"Unix path", "unix://" + filepath.Join(t.TempDir(), "s")},
		{"abstract Unix name", fmt.Sprintf("unix://@getty-test-%d", os.Getpid())},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if strings.Contains(tc.url, "@") && runtime.GOOS != "linux" {
				t.Skip("abstract names are Linux's")
			}
			if strings.Contains(tc.url, "[::1]") && !hasIPv6() {
				t.Skip("no IPv6 here")
			}
			srv, url := serve(t, transport{url: func(testing.TB) string { return tc.url }}, echo, getty.Config{}, nil)
			if strings.HasSuffix(url, ":0") {
				t.Fatalf("the URL %s has no port", url)
			}
			if got := srv.Addrs()[0].String(); !strings.HasSuffix(url, got) {
				t.Fatalf("the URL is %s and the address %s", url, got)
			}
			echoesOver(t, url)
		})
	}
}

func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// An empty host listens on all addresses.
func TestURLWithoutHost(t *testing.T) {
	srv, _ := serve(t, transport{url: func(testing.TB) string { return "tcp://:0" }}, echo, getty.Config{}, nil)
	_, port, err := net.SplitHostPort(srv.Addrs()[0].String())
	must(t, err)
	echoesOver(t, "tcp://127.0.0.1:"+port)
}

func TestOneServerListensOnSeveralURLs(t *testing.T) {
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{TLS: serverTLS()})
	must(t, err)
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
	var urls []string
	for _, tr := range transports {
		urls = append(urls, tr.url(t))
	}
	must(t, srv.Listen(urls...))
	if len(srv.URLs()) != len(urls) || len(srv.Addrs()) != len(urls) {
		t.Fatalf("it listens on %v, want %v", srv.URLs(), urls)
	}
	for i, url := range srv.URLs() {
		if kind, _, _ := strings.Cut(url, "://"); !strings.HasPrefix(urls[i], kind) {
			t.Errorf("URL %d is %s, want the order of %v", i, url, urls)
		}
		echoesOver(t, url)
	}
}

// A file that a dead process left behind does not keep a server from
// listening; one that lives, and one that is no socket, does.
func TestUnixPathThatExists(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	url := "unix://" + path
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	if err := listenOn(t, url); err == nil {
		t.Fatal("listens where another process does")
	}
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	tr := transport{url: func(testing.TB) string { return url }}
	srv, _ := serve(t, tr, echo, getty.Config{}, nil)
	echoesOver(t, url)
	must(t, srv.Shutdown(within(t)))

	must(t, os.WriteFile(path, []byte("data"), 0o600))
	if err := listenOn(t, url); err == nil {
		t.Fatal("listens in the place of a file")
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "data" {
		t.Fatalf("the file holds %q now: %v", data, err)
	}
}

// A socket of another kind refuses to be dialed, but it is not stale.
func TestUnixPathOfADatagramSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	pc, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Skip("no such sockets here:", err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	if err := listenOn(t, "unix://"+path); err == nil {
		t.Fatal("listens where another process does")
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the other's socket is gone: %v", err)
	}
}
