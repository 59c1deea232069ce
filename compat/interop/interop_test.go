// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestOriginalAndOurs: original client with our server, our client with the
// original's, and the original with itself, which says what can be expected.
func TestOriginalAndOurs(t *testing.T) {
	ours, original := build(t, "go.mod"), build(t, "original.mod")
	pki := certificates(t)
	for _, c := range cases() {
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			if err := converse(t, original, original, pki, c); (err == nil) != (c.broken == "") {
				t.Errorf("the original with itself: %v, want %q", err, c.broken)
			}
			if err := converse(t, ours, original, pki, c); err != nil && c.broken == "" {
				t.Errorf("our server, the original's client: %v", err)
			}
			if err := converse(t, original, ours, pki, c); err != nil && (c.broken == "" || c.brokenClient) {
				t.Errorf("the original's server, our client: %v", err)
			}
			if err := converse(t, ours, ours, pki, c); err != nil {
				t.Errorf("ours with itself: %v", err)
			}
		})
	}
}

// conversation is one case: a transport, what each side compresses with, and why
// it does not work in the original, if it does not.
type conversation struct {
	transport, compress, sizes, broken string
	brokenClient                       bool // and only its client
}

func (c conversation) name() string {
	name := c.transport
	if c.compress != "" {
		name += "-" + c.compress
	}
	if c.brokenClient {
		name += "-large"
	}
	return name
}

func cases() []conversation {
	var all []conversation
	for _, tr := range []string{"tcp", "tls", "ws", "wss", "udp"} {
		for _, z := range []string{"", "none", "zip", "speed", "best", "huffman", "snappy"} {
			c := conversation{transport: tr, compress: z, sizes: "0,1,100,3000,70000,200000"}
			switch {
			case tr == "udp":
				// Compression is accepted and does nothing.
				c.sizes = "0,1,100,3000,10000"
			case z == "snappy" && strings.HasPrefix(tr, "ws"):
				continue // a panic in both
			case z == "snappy":
				c.broken = "its writer is flushed only when 64 KiB have come together"
			case tr == "ws", tr == "wss":
				c.sizes = "0,1,100,3000"
			}
			all = append(all, c)
		}
		if strings.HasPrefix(tr, "ws") {
			all = append(all, conversation{
				transport: tr, compress: "zip", sizes: "3000,70000,200000",
				broken: "its client reads 4096 bytes at most, whatever was configured", brokenClient: true,
			})
		}
	}
	return all
}

// build links the peer as a module file says.
func build(t *testing.T, modfile string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "peer")
	out, err := exec.Command("go", "build", "-modfile="+modfile, "-o", program, "./peer").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// converse runs a server and a client and returns what the client says.
func converse(t *testing.T, server, client, pki string, c conversation) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := []string{"-transport=" + c.transport, "-compress=" + c.compress, "-pki=" + pki, "-sizes=" + c.sizes}
	srv := exec.CommandContext(ctx, server, append(args, "-role=server")...)
	stdin, err := srv.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := srv.StdoutPipe()
	if err != nil {
		return err
	}
	srv.Stderr = io.Discard
	if err := srv.Start(); err != nil {
		return err
	}
	defer func() { _ = srv.Wait() }()
	defer stdin.Close()
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the server's address: %w", err)
	}
	args = append(args, "-role=client", "-addr="+strings.TrimSpace(addr))
	out, err := exec.CommandContext(ctx, client, args...).Output()
	if text := strings.TrimSpace(string(out)); err != nil || text != "ok" {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

// certificates makes an authority and a certificate for 127.0.0.1 in files.
func certificates(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for name, block := range map[string]*pem.Block{
		"ca": {Type: "CERTIFICATE", Bytes: der}, "cert": {Type: "CERTIFICATE", Bytes: der}, "key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		must(t, os.WriteFile(filepath.Join(dir, name+".pem"), pem.EncodeToMemory(block), 0o600))
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
