// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// echoing is a server that listens on nothing yet.
func echoing(cfg getty.Config) *getty.Server[string] {
	srv, err := getty.NewServer(codec.Line{}, echoServer{}, cfg)
	if err != nil {
		log.Fatal(err)
	}
	return srv
}

// greet sends one line to url and prints the answer.
func greet(url string, cfg getty.Config) {
	p := printer{printed: make(chan struct{}, 1)}
	s, err := getty.Dial(context.Background(), url, codec.Line{}, p, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if err := s.Send("hello"); err != nil {
		log.Fatal(err)
	}
	<-p.printed
}

// A listener of the user's own, here of package net.
func ExampleServer_Serve() {
	srv := echoing(getty.Config{})
	defer srv.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	greet("tcp://"+l.Addr().String(), getty.Config{})
	// Output: received hello
}

// The same under TLS, with the certificate of Config.TLS.
func ExampleServer_ServeTLS() {
	srv := echoing(getty.Config{TLS: serverTLS()})
	defer srv.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = srv.ServeTLS(l) }()
	greet("tls://"+l.Addr().String(), getty.Config{TLS: clientTLS()})
	// Output: received hello
}

// A packet socket of the user's own: a session for each peer.
func ExampleServer_ServePacket() {
	srv := echoing(getty.Config{})
	defer srv.Close()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = srv.ServePacket(pc) }()
	greet("udp://"+pc.LocalAddr().String(), getty.Config{})
	// Output: received hello
}

// WebSocket beside other handlers.
func ExampleServer_ServeHTTP() {
	srv := echoing(getty.Config{})
	defer srv.Close()
	mux := http.NewServeMux()
	mux.Handle("/chat", srv)
	web := httptest.NewServer(mux)
	defer web.Close()
	greet(strings.Replace(web.URL, "http", "ws", 1)+"/chat", getty.Config{})
	// Output: received hello
}

// A server tells its peers that it is about to go, in their own protocol; a
// client that hears of it replaces the session.
func ExampleClient_Retire() {
	srv := echoing(getty.Config{GracePeriod: time.Second})
	srv.Farewell = func(s *getty.Session[string]) { _ = s.Send("going away") }
	if err := srv.Listen("tcp://127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}
	answered, retired := make(chan string, 1), make(chan bool, 1)
	var client *getty.Client[string]
	client, err := getty.NewClient(srv.URLs()[0], codec.Line{}, getty.EventFuncs[string]{
		Message: func(s *getty.Session[string], line string) error {
			if line == "going away" {
				retired <- client.Retire(s)
				return s.Close()
			}
			answered <- line
			return nil
		},
	}, getty.ClientConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	// With its first answer the session is open on the server's side, too.
	if err := client.Send(context.Background(), "hello"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("answered:", <-answered)
	fmt.Println("shutdown:", srv.Shutdown(context.Background()))
	fmt.Println("retired:", <-retired)
	// Output:
	// answered: hello
	// shutdown: <nil>
	// retired: true
}
