// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// echoServer answers each line with itself.
type echoServer struct{ getty.NopEvents[string] }

func (echoServer) OnMessage(s *getty.Session[string], line string) error { return s.Send(line) }

// printer prints what it receives, and tells when it did.
type printer struct {
	getty.NopEvents[string]
	printed chan struct{}
}

func (p printer) OnMessage(_ *getty.Session[string], line string) error {
	fmt.Println("received", line)
	p.printed <- struct{}{}
	return nil
}

// start listens on a free port with an echo server, for the other examples.
func start(events getty.EventListener[string], cfg getty.Config) (srv *getty.Server[string], url string) {
	srv, err := getty.NewServer(codec.Line{}, events, cfg)
	if err != nil {
		log.Fatal(err)
	}
	if err := srv.Listen("tcp://127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}
	return srv, srv.URLs()[0]
}

// stop shuts down servers and clients.
func stop(endpoints ...interface{ Shutdown(context.Context) error }) {
	for _, e := range endpoints {
		if err := e.Shutdown(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
}

// A whole server: it runs until its context ends and drains its sessions then.
func ExampleServer_ListenAndServe() {
	srv, err := getty.NewServer(codec.Line{}, echoServer{}, getty.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	// Usually more than one: "tcp://:9000", "tls://:9443", "unix:///run/echo.sock"
	err = srv.ListenAndServe(ctx, "tcp://127.0.0.1:0")
	fmt.Println("drained:", err)
	// Output: drained: <nil>
}

// A single session without a pool.
func ExampleDial() {
	srv, url := start(echoServer{}, getty.Config{})
	defer stop(srv)

	events := printer{printed: make(chan struct{})}
	s, err := getty.Dial(context.Background(), url, codec.Line{}, events, getty.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Send("hello"); err != nil {
		log.Fatal(err)
	}
	<-events.printed
	// Output: received hello
}

// A pool of sessions that reconnect by themselves.
func ExampleClient() {
	srv, url := start(echoServer{}, getty.Config{})
	defer stop(srv)

	events := printer{printed: make(chan struct{})}
	client, err := getty.NewClient(url, codec.Line{}, events, getty.ClientConfig{PoolSize: 4})
	if err != nil {
		log.Fatal(err)
	}
	defer stop(client)
	// Optional: Send connects as well, with what is there first.
	if err := client.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("live:", client.State().Live)
	if err := client.Send(context.Background(), "hello"); err != nil {
		log.Fatal(err)
	}
	<-events.printed
	// Output:
	// live: 4
	// received hello
}

// Each new session may get limits, a codec or a listener of its own, values and
// socket options before anything is read.
func ExampleServer_configure() {
	type userKey struct{}
	opened := make(chan struct{})
	events := getty.EventFuncs[string]{
		Open: func(s *getty.Session[string]) error {
			fmt.Println("open for", s.Value(userKey{}))
			close(opened)
			return nil
		},
	}
	srv, err := getty.NewServer(codec.Line{}, events, getty.Config{})
	if err != nil {
		log.Fatal(err)
	}
	srv.Configure = func(s *getty.Session[string], setup *getty.Setup[string]) error {
		s.SetValue(userKey{}, "alice")
		setup.MaxMessageSize = 1 << 10
		setup.Codec = codec.Line{CRLF: true}
		return nil
	}
	if err := srv.Listen("tcp://127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}
	s, err := getty.Dial(context.Background(), srv.URLs()[0], codec.Line{}, getty.NopEvents[string]{}, getty.Config{})
	if err != nil {
		log.Fatal(err)
	}
	<-opened
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
	stop(srv)
	// Output: open for alice
}

// A client that stays away from a server that has said goodbye.
func ExampleClient_reconnect() {
	srv, url := start(getty.EventFuncs[string]{
		Open: func(s *getty.Session[string]) error { return s.Close() },
	}, getty.Config{})
	defer stop(srv)

	client, err := getty.NewClient(url, codec.Line{}, getty.NopEvents[string]{}, getty.ClientConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer stop(client)
	asked := make(chan error, 1)
	client.Reconnect = func(_ *getty.Session[string], cause error) bool {
		asked <- cause
		return !errors.Is(cause, io.EOF)
	}
	_ = client.Connect(context.Background()) // succeeds, or is too late already
	fmt.Println("ended with", <-asked)
	// Output: ended with EOF
}

// A listener made of functions.
func ExampleEventFuncs() {
	closed := make(chan struct{})
	srv, url := start(getty.EventFuncs[string]{
		Message: func(_ *getty.Session[string], line string) error {
			fmt.Println("message", line)
			return nil
		},
		Close: func(_ *getty.Session[string], cause error) {
			fmt.Println("close", cause)
			close(closed)
		},
	}, getty.Config{})
	defer stop(srv)

	s, err := getty.Dial(context.Background(), url, codec.Line{}, getty.NopEvents[string]{}, getty.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Send("hello"); err != nil {
		log.Fatal(err)
	}
	if err := s.Close(); err != nil { // what was sent leaves first
		log.Fatal(err)
	}
	<-closed
	// Output:
	// message hello
	// close EOF
}

// One message for many sessions is encoded once.
func ExampleSession_Prepare() {
	opened := make(chan *getty.Session[string], 3)
	srv, url := start(getty.EventFuncs[string]{
		Open: func(s *getty.Session[string]) error {
			opened <- s
			return nil
		},
	}, getty.Config{})
	defer stop(srv)

	events := printer{printed: make(chan struct{})}
	client, err := getty.NewClient(url, codec.Line{}, events, getty.ClientConfig{PoolSize: 3})
	if err != nil {
		log.Fatal(err)
	}
	defer stop(client)
	if err := client.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	var news *getty.Prepared
	for range 3 {
		s := <-opened
		if news == nil {
			if news, err = s.Prepare("news"); err != nil {
				log.Fatal(err)
			}
		}
		if err := s.SendPrepared(context.Background(), news); err != nil {
			log.Fatal(err)
		}
		<-events.printed
	}
	// Output:
	// received news
	// received news
	// received news
}

// A producer that skips what a slow peer has no room for, and waits without
// being blocked inside Send.
func ExampleSession_TrySend() {
	srv, url := start(getty.NopEvents[string]{}, getty.Config{})
	defer stop(srv)

	cfg := getty.Config{HighWatermark: 4 << 10}
	s, err := getty.Dial(context.Background(), url, codec.Line{}, getty.NopEvents[string]{}, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for sent := 0; sent < 1000; {
		err := s.TrySend("tick")
		switch {
		case err == nil:
			sent++
		case errors.Is(err, getty.ErrBackpressure):
			<-s.Writable() // or do something else
		default:
			log.Fatal(err)
		}
	}
	fmt.Println("sent:", s.Stats().MessagesOut)
	// Output: sent: 1000
}

// Handlers that block run on a bounded number of workers. While all of them
// are busy further sessions wait, and are not read.
func ExampleConfig_workers() {
	srv, url := start(getty.EventFuncs[string]{
		Message: func(s *getty.Session[string], line string) error {
			time.Sleep(time.Millisecond) // a query, say
			return s.Send("done " + line)
		},
	}, getty.Config{Workers: 16})
	defer stop(srv)

	events := printer{printed: make(chan struct{})}
	s, err := getty.Dial(context.Background(), url, codec.Line{}, events, getty.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, line := range []string{"1", "2", "3"} {
		if err := s.Send(line); err != nil {
			log.Fatal(err)
		}
	}
	for range 3 {
		<-events.printed
	}
	// Output:
	// received done 1
	// received done 2
	// received done 3
}

// After Shutdown has returned nil nothing of the server runs any more.
func ExampleServer_Shutdown() {
	opened, causes := make(chan bool, 1), make(chan error, 1)
	srv, url := start(getty.EventFuncs[string]{
		Open:  func(*getty.Session[string]) error { opened <- true; return nil },
		Close: func(_ *getty.Session[string], cause error) { causes <- cause },
	}, getty.Config{})
	s, err := getty.Dial(context.Background(), url, codec.Line{}, getty.NopEvents[string]{}, getty.Config{})
	if err != nil {
		log.Fatal(err)
	}
	<-opened // or the server may have nothing to close yet
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("shutdown:", srv.Shutdown(ctx))
	fmt.Println("cause here:", <-causes)
	<-s.Done()
	fmt.Println("cause there:", errors.Is(context.Cause(s.Context()), io.EOF))
	// Output:
	// shutdown: <nil>
	// cause here: getty: endpoint is shut down
	// cause there: true
}
