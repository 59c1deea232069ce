// SPDX-License-Identifier: Apache-2.0

// Command echo-tcp is an echo server for lines over TCP. With -dial it is a client, which sends the lines of its
// standard input and prints what comes back.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

func main() {
	listen := flag.String("listen", "tcp://localhost:9000", "`URL` to serve")
	dial := flag.String("dial", "", "`URL` to connect to instead")
	flag.Parse()
	if *dial != "" {
		if err := talk(*dial); err != nil {
			log.Fatal(err)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serve(ctx, *listen); err != nil {
		log.Fatal(err)
	}
}

// echo answers each line with itself.
type echo struct{ getty.NopEvents[string] }

func (echo) OnMessage(s *getty.Session[string], line string) error { return s.Send(line) }

// serve runs until ctx ends, then lets the sessions finish.
func serve(ctx context.Context, url string) error {
	srv, err := getty.NewServer(codec.Line{}, echo{}, getty.Config{})
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

// talk sends a line and waits for its echo before it sends the next.
func talk(url string) error {
	echoes := make(chan string, 1)
	events := getty.EventFuncs[string]{
		Message: func(_ *getty.Session[string], line string) error {
			echoes <- line
			return nil
		},
	}
	s, err := getty.Dial(context.Background(), url, codec.Line{}, events, getty.Config{})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		if err := s.Send(input.Text()); err != nil {
			return err
		}
		select {
		case line := <-echoes:
			fmt.Println(line)
		case <-s.Done():
			return context.Cause(s.Context()) // why it has ended
		}
	}
	return input.Err()
}
