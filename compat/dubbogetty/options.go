// SPDX-License-Identifier: Apache-2.0

package getty

import gxsync "github.com/dubbogo/gost/sync"

// ServerOption sets one of the ServerOptions.
type ServerOption func(*ServerOptions)

// ServerOptions are set by the With functions.
type ServerOptions struct {
	addr string
	pool gxsync.GenericTaskPool

	ssl bool
	tls TlsConfigBuilder

	path, cert, key, ca string // of WebSocket
}

// WithLocalAddress sets where the server listens: host:port, or host alone or
// nothing for a port that the system chooses.
func WithLocalAddress(addr string) ServerOption {
	return func(o *ServerOptions) { o.addr = addr }
}

// WithWebsocketServerPath sets the path of WebSocket requests that are served,
// by the rules of http.ServeMux. By default any is.
func WithWebsocketServerPath(path string) ServerOption {
	return func(o *ServerOptions) { o.path = path }
}

// WithWebsocketServerCert names the file of a WSS server's certificate.
func WithWebsocketServerCert(cert string) ServerOption {
	return func(o *ServerOptions) { o.cert = cert }
}

// WithWebsocketServerPrivateKey names the file of a WSS server's key.
func WithWebsocketServerPrivateKey(key string) ServerOption {
	return func(o *ServerOptions) { o.key = key }
}

// WithWebsocketServerRootCert names a file of certificates, against which a WSS
// server then verifies its clients'.
func WithWebsocketServerRootCert(cert string) ServerOption {
	return func(o *ServerOptions) { o.ca = cert }
}

// WithServerTaskPool has OnMessage and OnCron run on a pool.
func WithServerTaskPool(pool gxsync.GenericTaskPool) ServerOption {
	return func(o *ServerOptions) { o.pool = pool }
}

// WithServerSslEnabled puts a TCP server under TLS; see WithServerTlsConfigBuilder.
func WithServerSslEnabled(sslEnabled bool) ServerOption {
	return func(o *ServerOptions) { o.ssl = sslEnabled }
}

// WithServerTlsConfigBuilder sets what makes the configuration of TLS. It is
// asked once, by RunEventLoop.
func WithServerTlsConfigBuilder(tlsConfigBuilder TlsConfigBuilder) ServerOption {
	return func(o *ServerOptions) { o.tls = tlsConfigBuilder }
}

// ClientOption sets one of the ClientOptions.
type ClientOption func(*ClientOptions)

// ClientOptions are set by the With functions.
type ClientOptions struct {
	addr     string
	number   int
	interval int // nanoseconds
	pool     gxsync.GenericTaskPool

	ssl  bool
	tls  TlsConfigBuilder
	cert string // of WSS
}

// WithServerAddress sets the server: host:port, or the URL for WebSocket.
func WithServerAddress(addr string) ClientOption {
	return func(o *ClientOptions) { o.addr = addr }
}

// WithReconnectInterval sets the first pause between attempts to connect, in
// nanoseconds. It grows to ten times as much. Without it, or with 0, it is 300 ms.
func WithReconnectInterval(reconnectInterval int) ClientOption {
	return func(o *ClientOptions) {
		if reconnectInterval > 0 {
			o.interval = reconnectInterval
		}
	}
}

// WithClientTaskPool has OnMessage and OnCron run on a pool.
func WithClientTaskPool(pool gxsync.GenericTaskPool) ClientOption {
	return func(o *ClientOptions) { o.pool = pool }
}

// WithConnectionNumber sets the number of sessions of the pool.
func WithConnectionNumber(num int) ClientOption {
	return func(o *ClientOptions) {
		if num > 0 {
			o.number = num
		}
	}
}

// WithRootCertificateFile names a file of certificates, against which a WSS
// client verifies the server's.
func WithRootCertificateFile(cert string) ClientOption {
	return func(o *ClientOptions) { o.cert = cert }
}

// WithClientSslEnabled puts a TCP client under TLS; see WithClientTlsConfigBuilder.
func WithClientSslEnabled(sslEnabled bool) ClientOption {
	return func(o *ClientOptions) { o.ssl = sslEnabled }
}

// WithClientTlsConfigBuilder sets what makes the configuration of TLS. It is
// asked once, by RunEventLoop.
func WithClientTlsConfigBuilder(tlsConfigBuilder TlsConfigBuilder) ClientOption {
	return func(o *ClientOptions) { o.tls = tlsConfigBuilder }
}
