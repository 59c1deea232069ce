// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"testing"

	"github.com/apache/dubbo-getty"
)

// transport makes servers and clients of one kind.
type transport struct {
	name   string
	server func(t testing.TB, opts ...getty.ServerOption) getty.Server
	client func(t testing.TB, addr string, opts ...getty.ClientOption) getty.Client
}

var transports = []transport{
	{"tcp", func(_ testing.TB, opts ...getty.ServerOption) getty.Server {
		return getty.NewTCPServer(opts...)
	}, func(_ testing.TB, addr string, opts ...getty.ClientOption) getty.Client {
		return getty.NewTCPClient(append(opts, getty.WithServerAddress(addr))...)
	}},
	{"tls", func(t testing.TB, opts ...getty.ServerOption) getty.Server {
		p := files(t)
		return getty.NewTCPServer(append(opts, getty.WithServerSslEnabled(true),
			getty.WithServerTlsConfigBuilder(&getty.ServerTlsConfigBuilder{
				ServerKeyCertChainPath: p.cert, ServerPrivateKeyPath: p.key, ServerTrustCertCollectionPath: p.ca,
			}))...)
	}, func(t testing.TB, addr string, opts ...getty.ClientOption) getty.Client {
		p := files(t)
		return getty.NewTCPClient(append(opts, getty.WithServerAddress(addr), getty.WithClientSslEnabled(true),
			getty.WithClientTlsConfigBuilder(&getty.ClientTlsConfigBuilder{
				ClientKeyCertChainPath: p.cert, ClientPrivateKeyPath: p.key, ClientTrustCertCollectionPath: p.ca,
			}))...)
	}},
	{"ws", func(_ testing.TB, opts ...getty.ServerOption) getty.Server {
		return getty.NewWSServer(append(opts, getty.WithWebsocketServerPath("/echo"))...)
	}, func(_ testing.TB, addr string, opts ...getty.ClientOption) getty.Client {
		return getty.NewWSClient(append(opts, getty.WithServerAddress("ws://"+addr+"/echo"))...)
	}},
	{"wss", func(t testing.TB, opts ...getty.ServerOption) getty.Server {
		p := files(t)
		return getty.NewWSSServer(append(opts, getty.WithWebsocketServerPath("/echo"),
			getty.WithWebsocketServerCert(p.cert), getty.WithWebsocketServerPrivateKey(p.key))...)
	}, func(t testing.TB, addr string, opts ...getty.ClientOption) getty.Client {
		return getty.NewWSSClient(append(opts, getty.WithServerAddress("wss://"+addr+"/echo"),
			getty.WithRootCertificateFile(files(t).ca))...)
	}},
}

func (tr transport) isTCP() bool { return tr.name == "tcp" || tr.name == "tls" }

// eachTransport runs a test over every transport, all at the same time.
func eachTransport(t *testing.T, test func(t *testing.T, tr transport)) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			test(t, tr)
		})
	}
}

// serve runs a server at a port of the system's choice and returns its address.
func serve(t testing.TB, tr transport, setUp getty.NewSessionCallback, opts ...getty.ServerOption) (getty.Server, string) {
	t.Helper()
	return serveAt(t, tr, "127.0.0.1:0", setUp, opts...)
}

func serveAt(t testing.TB, tr transport, addr string, setUp getty.NewSessionCallback, opts ...getty.ServerOption) (getty.Server, string) {
	t.Helper()
	s := tr.server(t, append(opts, getty.WithLocalAddress(addr))...)
	s.RunEventLoop(setUp)
	t.Cleanup(s.Close)
	return s, s.(getty.StreamServer).Listener().Addr().String()
}

// connect opens a pool.
func connect(t testing.TB, tr transport, addr string, size int, setUp getty.NewSessionCallback, opts ...getty.ClientOption) getty.Client {
	t.Helper()
	c := tr.client(t, addr, append([]getty.ClientOption{getty.WithConnectionNumber(size)}, opts...)...)
	t.Cleanup(c.Close)
	c.RunEventLoop(setUp)
	return c
}

// pair opens one session between two listeners and returns both ends of it.
func pair(t testing.TB, tr transport, server, client *recorder) (at, from getty.Session) {
	t.Helper()
	_, addr := serve(t, tr, with(server))
	connect(t, tr, addr, 1, with(client))
	return receive(t, server.opened, "session of the server"), receive(t, client.opened, "session of the client")
}
