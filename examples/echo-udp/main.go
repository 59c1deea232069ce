// SPDX-License-Identifier: Apache-2.0

// Command echo-udp is an echo server for packets. With -dial it is a client, which sends each line of its standard
// input as a packet and prints what comes back, or that nothing did.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// patience is how long the client waits for an echo. A packet may get lost, and nobody says so.
const patience = time.Second

func main() {
	listen := flag.String("listen", "udp://localhost:9001", "`URL` to serve")
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

// echo answers each packet with itself. There is a session for each peer, which ends when the peer has been silent for
// the IdleTimeout.
type echo struct{ getty.NopEvents[[]byte] }

func (echo) OnMessage(s *getty.Session[[]byte], packet []byte) error { return s.Send(packet) }

func serve(ctx context.Context, url string) error {
	srv, err := getty.NewServer(codec.Raw{}, echo{}, getty.Config{IdleTimeout: 10 * time.Second})
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

func talk(url string) error {
	echoes := make(chan string, 16)
	events := getty.EventFuncs[[]byte]{
		Message: func(_ *getty.Session[[]byte], packet []byte) error {
			select {
			case echoes <- string(packet): // a copy: packet is valid until the return
			default: // late ones, which nobody waits for any more
			}
			return nil
		},
	}
	s, err := getty.Dial(context.Background(), url, codec.Raw{}, events, getty.Config{})
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
		case packet := <-echoes:
			fmt.Println(packet)
		case <-time.After(patience):
			fmt.Println("no answer")
		case <-s.Done():
			return context.Cause(s.Context())
		}
	}
	return input.Err()
}
