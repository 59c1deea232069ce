// SPDX-License-Identifier: Apache-2.0

// Command echo-wss is an echo server for WebSocket over TLS. With -dial it is a client, which sends the lines of its
// standard input and prints what comes back. Tools such as mkcert make the files for a first try:
//
//	mkcert -cert-file cert.pem -key-file key.pem localhost
//	go run ./examples/echo-wss
//	go run ./examples/echo-wss -ca "$(mkcert -CAROOT)/rootCA.pem" -dial wss://localhost:8443/echo
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

func main() {
	listen := flag.String("listen", "wss://localhost:8443/echo", "`URL` to serve")
	cert := flag.String("cert", "cert.pem", "the server's certificate `file`")
	key := flag.String("key", "key.pem", "the server's key `file`")
	dial := flag.String("dial", "", "`URL` to connect to instead")
	ca := flag.String("ca", "", "`file` of the authority that the client trusts instead of the system's")
	flag.Parse()
	if *dial != "" {
		if err := talk(*dial, *ca); err != nil {
			log.Fatal(err)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serve(ctx, *listen, *cert, *key); err != nil {
		log.Fatal(err)
	}
}

// echo answers each message with itself, text with text.
type echo struct{ getty.NopEvents[[]byte] }

func (echo) OnMessage(s *getty.Session[[]byte], msg []byte) error { return s.Send(msg) }

func serve(ctx context.Context, url, cert, key string) error {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	srv, err := getty.NewServer(codec.Raw{}, echo{}, getty.Config{
		TLS:       &tls.Config{Certificates: []tls.Certificate{pair}},
		WebSocket: getty.WebSocketConfig{MessageType: getty.MessageLast},
	})
	if err != nil {
		return err
	}
	if err := srv.Listen(url); err != nil {
		return err
	}
	fmt.Println("listening on", srv.URLs()[0])
	<-ctx.Done()
	return srv.Shutdown(context.Background())
}

func talk(url, ca string) error {
	var cfg getty.Config // verifies the server with the system's authorities
	if ca != "" {
		pem, err := os.ReadFile(ca) //nolint:gosec // who starts the program names it
		if err != nil {
			return err
		}
		cfg.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		if !cfg.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s has no certificate", ca)
		}
	}
	echoes := make(chan string, 1)
	events := getty.EventFuncs[[]byte]{
		Message: func(_ *getty.Session[[]byte], msg []byte) error {
			echoes <- string(msg) // a copy: msg is valid until the return
			return nil
		},
	}
	s, err := getty.Dial(context.Background(), url, codec.Raw{}, events, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		if err := s.Send(input.Bytes()); err != nil {
			return err
		}
		select {
		case text := <-echoes:
			fmt.Println(text)
		case <-s.Done():
			return context.Cause(s.Context())
		}
	}
	return input.Err()
}
