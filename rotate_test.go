// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"crypto/tls"
	"sync/atomic"
	"testing"

	"github.com/getty-net/getty"
)

// A certificate is replaced without a restart: new handshakes see the new one,
// open sessions go on.
func TestCertificatesRotate(t *testing.T) {
	for _, tr := range transports {
		if tr.name != "tls" && tr.name != "wss" {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			old, _ := certificate()
			renewed, _ := signedBySelf(t, "localhost")
			var current atomic.Pointer[tls.Certificate]
			current.Store(&old)
			cfg := getty.Config{TLS: &tls.Config{
				MinVersion:     tls.VersionTLS12,
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil },
			}}
			_, url := serve(t, tr, echo, cfg, nil)
			seen := func(r *recorder) ([]byte, *session) {
				c := clientTLS()
				c.InsecureSkipVerify = true //nolint:gosec // which certificate came is what is looked at
				s := dial(t, url, r, getty.Config{TLS: c})
				return s.NetConn().(*tls.Conn).ConnectionState().PeerCertificates[0].Raw, s
			}
			before := record()
			first, s := seen(before)
			current.Store(&renewed)
			second, _ := seen(record())
			if string(first) != string(old.Certificate[0]) || string(second) != string(renewed.Certificate[0]) {
				t.Error("the certificates are not those of their time")
			}
			must(t, s.Send("still here"))
			if m := receive(t, before.messages, "echo"); m != "still here" {
				t.Errorf("%q came back", m)
			}
		})
	}
}
