// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/apache/dubbo-getty/dropin"
)

// TlsConfigBuilder makes the configuration of TLS.
type TlsConfigBuilder interface {
	// BuildTlsConfig returns a configuration or an error.
	BuildTlsConfig() (*tls.Config, error)
}

// ServerTlsConfigBuilder makes a server's configuration of files in PEM.
type ServerTlsConfigBuilder struct {
	ServerKeyCertChainPath string
	ServerPrivateKeyPath   string
	ServerKeyPassword      string // not used: keys must not be encrypted
	// ServerTrustCertCollectionPath has the certificates that those of clients
	// must be signed by. Without it a client has to show one of any kind, which
	// is not verified.
	ServerTrustCertCollectionPath string
}

// BuildTlsConfig reads the files.
func (s *ServerTlsConfigBuilder) BuildTlsConfig() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(s.ServerKeyCertChainPath, s.ServerPrivateKeyPath)
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	cfg := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{cert},
		ClientAuth:   tls.RequireAnyClientCert,
	}
	if s.ServerTrustCertCollectionPath != "" {
		if cfg.ClientCAs, err = readCertificates(s.ServerTrustCertCollectionPath); err != nil {
			return nil, err
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg, nil
}

// ClientTlsConfigBuilder makes a client's configuration of files in PEM. The
// server's certificate is verified, and so is that it is for the host of the
// server's address, unless the process has chosen dropin.SetAnyServerName. For
// anything else write a TlsConfigBuilder.
type ClientTlsConfigBuilder struct {
	// ClientKeyCertChainPath and ClientPrivateKeyPath are the certificate that is
	// shown to servers which ask for one. Both may be empty.
	ClientKeyCertChainPath string
	ClientPrivateKeyPath   string
	ClientKeyPassword      string // not used: keys must not be encrypted
	// ClientTrustCertCollectionPath has the certificates that the server's must
	// be signed by. Empty: the system's.
	ClientTrustCertCollectionPath string
}

// BuildTlsConfig reads the files.
func (c *ClientTlsConfigBuilder) BuildTlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ClientKeyCertChainPath != "" || c.ClientPrivateKeyPath != "" {
		cert, err := tls.LoadX509KeyPair(c.ClientKeyCertChainPath, c.ClientPrivateKeyPath)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	if c.ClientTrustCertCollectionPath != "" {
		var err error
		if cfg.RootCAs, err = readCertificates(c.ClientTrustCertCollectionPath); err != nil {
			return nil, err
		}
	}
	return verifyServer(cfg), nil
}

// verifyServer leaves out that the server's certificate is for the host of its
// address, and nothing else, if the process has chosen that.
func verifyServer(cfg *tls.Config) *tls.Config {
	if !dropin.AnyServerName() {
		return cfg
	}
	roots := cfg.RootCAs
	cfg.InsecureSkipVerify = true // VerifyConnection does it instead
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		shown := state.PeerCertificates
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range shown[1:] {
			opts.Intermediates.AddCert(c)
		}
		if _, err := shown[0].Verify(opts); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: shown, Err: err}
		}
		return nil
	}
	return cfg
}

// readCertificates reads a file of certificates, all of which are trusted.
func readCertificates(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // the configuration names it
	if err != nil {
		return nil, fmt.Errorf("trusted certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("trusted certificates: %s has none", file)
	}
	return pool, nil
}

// buildTLS asks a builder, and takes nothing for an answer that is none.
func buildTLS(b TlsConfigBuilder) (*tls.Config, error) {
	if b == nil {
		return nil, errors.New("TLS is enabled without a TlsConfigBuilder")
	}
	cfg, err := b.BuildTlsConfig()
	if err == nil && cfg == nil {
		err = errors.New("the TlsConfigBuilder returned neither a configuration nor an error")
	}
	return cfg, err
}

// secureServer is the configuration of a WSS server.
func (o *ServerOptions) secureServer() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if o.ca != "" {
		if cfg.ClientCAs, err = readCertificates(o.ca); err != nil {
			return nil, err
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg, nil
}

// secureClient is the configuration of a WSS client.
func (o *ClientOptions) secureClient() (*tls.Config, error) {
	roots, err := readCertificates(o.cert)
	return verifyServer(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}), err
}
