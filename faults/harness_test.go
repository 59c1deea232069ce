// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/fnv"
	"math/big"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// seedOf is the seed of a cell: the same in every run unless the environment
// has another one.
func seedOf(t testing.TB, c cell) uint64 {
	t.Helper()
	if text := os.Getenv("GETTY_FAULTS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("GETTY_FAULTS_SEED: %v", err)
		}
		return seed
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.String()))
	return h.Sum64() ^ runSeed()
}

// runSeed differs from run to run.
var runSeed = sync.OnceValue(func() uint64 { return uint64(time.Now().UnixNano()) })

// certificate is made once and trusted by clientTLS. Its key may be handed to another process.
var certificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	cert, pool, err := selfSigned(key)
	if err != nil {
		panic(err)
	}
	return cert, pool
})

// selfSigned is valid at any time: a bubble's clock begins with the year 2000.
func selfSigned(key *ecdsa.PrivateKey) (tls.Certificate, *x509.CertPool, error) {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"faults"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool, nil
}

func serverTLS() *tls.Config {
	cert, _ := certificate()
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

func clientTLS() *tls.Config {
	_, pool := certificate()
	return &tls.Config{RootCAs: pool, ServerName: "faults", MinVersion: tls.VersionTLS12}
}

// smallBuffers has the kernel hold little of a stream. It is a Control function.
func smallBuffers(network, _ string, rc syscall.RawConn) error {
	if strings.HasPrefix(network, "udp") {
		return nil
	}
	var errs [2]error
	err := rc.Control(func(fd uintptr) {
		for i, opt := range []int{syscall.SO_RCVBUF, syscall.SO_SNDBUF} {
			errs[i] = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, opt, 8<<10)
		}
	})
	return errors.Join(err, errs[0], errs[1])
}

// descriptors are the open ones of this process: what is behind each.
func descriptors(t testing.TB) map[string]int {
	t.Helper()
	kinds, err := openDescriptors()
	if err != nil {
		t.Skip(err)
	}
	return kinds
}

func openDescriptors() (map[string]int, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	kinds := make(map[string]int)
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			kind, _, _ := strings.Cut(to, ":[")
			kinds[kind]++
		}
	}
	return kinds, nil
}

// leftByToxiproxy are goroutines of links whose far end was closed first: they
// wait for ever to hand over what they had.
var leftByToxiproxy = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
}

// wantNothingLeft fails if there are more sockets and pipes than before, or goroutines.
func wantNothingLeft(t testing.TB, before map[string]int, goroutines goleak.Option) {
	t.Helper()
	if err := nothingLeft(before, goroutines); err != nil {
		t.Error(err)
	}
}

func nothingLeft(before map[string]int, goroutines goleak.Option) error {
	errs := []error{goleak.Find(append(leftByToxiproxy, goroutines)...)}
	after, err := openDescriptors()
	errs = append(errs, err)
	for _, kind := range []string{"socket", "pipe"} {
		if after[kind] > before[kind] {
			errs = append(errs, fmt.Errorf("%d descriptors of kind %s, %d before", after[kind], kind, before[kind]))
		}
	}
	return errors.Join(errs...)
}
