// SPDX-License-Identifier: Apache-2.0

package examples_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// program is a running example.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Scanner // lines of its standard output
}

// start runs an example with what it is to read. It is killed if the test has not ended it.
func start(t *testing.T, input, name string, args ...string) program {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, name), args...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return program{t, cmd, bufio.NewScanner(out)}
}

// line waits for a line that begins with prefix and returns what follows it.
func (p program) line(prefix string) string {
	p.t.Helper()
	for p.out.Scan() {
		if rest, ok := strings.CutPrefix(p.out.Text(), prefix); ok {
			return rest
		}
	}
	p.t.Fatalf("no line with %q", prefix)
	return ""
}

// ends waits for a clean end and returns what was not read before.
func (p program) ends() string {
	p.t.Helper()
	var rest []string
	for p.out.Scan() {
		rest = append(rest, p.out.Text())
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Error(err)
	}
	return strings.Join(rest, "\n")
}

// stop interrupts a server.
func (p program) stop() string {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Error(err)
	}
	return p.ends()
}

func TestEcho(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted there")
	}
	cert, key := certificate(t)
	tests := []struct {
		name           string
		server, client []string
	}{
		{"echo-tcp", []string{"-listen", "tcp://127.0.0.1:0"}, nil},
		{"echo-udp", []string{"-listen", "udp://127.0.0.1:0"}, nil},
		{"echo-ws", []string{"-listen", "127.0.0.1:0"}, nil},
		{"echo-wss", []string{"-listen", "wss://127.0.0.1:0/echo", "-cert", cert, "-key", key}, []string{"-ca", cert}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := start(t, "", tt.name, tt.server...)
			url := server.line("listening on ")
			for range 2 {
				client := start(t, "hello\nworld\n", tt.name, append(tt.client, "-dial", url)...)
				if got := client.ends(); got != "hello\nworld" {
					t.Errorf("echoed %q", got)
				}
			}
			if got := server.stop(); got != "" {
				t.Errorf("server says %q", got)
			}
		})
	}
}

func TestEchoPage(t *testing.T) {
	server := start(t, "", "echo-ws", "-listen", "127.0.0.1:0")
	page, _ := strings.CutSuffix(strings.Replace(server.line("listening on "), "ws://", "http://", 1), "echo")
	defer http.DefaultClient.CloseIdleConnections()
	resp, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "new WebSocket") {
		t.Errorf("%v: %q", err, body)
	}
}

func TestHeartbeat(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted there")
	}
	t.Parallel()
	server := start(t, "", "heartbeat", "-listen", "tcp://127.0.0.1:0", "-period", "100ms")
	url := server.line("listening on ")

	client := start(t, "", "heartbeat", "-dial", url, "-period", "100ms")
	for range 5 {
		client.line("answered: beat ")
	}
	client.stop()

	silent, err := net.Dial("tcp", strings.TrimPrefix(url, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	server.line("closed: no heartbeat")
	server.stop()
}

// certificate writes a certificate for 127.0.0.1, which is its own authority, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", pkcs8)
}
