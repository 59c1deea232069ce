// SPDX-License-Identifier: Apache-2.0

// Command echo-ws is an echo server for WebSocket text, beside the pages of an ordinary http.Server: the page at / talks
// to it from a browser. With -dial it is a client, which sends the lines of its standard input and prints what comes
// back.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

const page = `<!DOCTYPE html><title>echo</title><input autofocus><pre></pre><script>
const ws = new WebSocket("ws://" + location.host + "/echo");
ws.onmessage = e => document.querySelector("pre").append(e.data + "\n");
document.querySelector("input").onchange = e => { ws.send(e.target.value); e.target.value = ""; };
</script>`

func main() {
	listen := flag.String("listen", "localhost:8080", "`address` to serve")
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

// config sends text, which browsers show.
var config = getty.Config{WebSocket: getty.WebSocketConfig{MessageType: getty.MessageText}}

// echo answers each message with itself.
type echo struct{ getty.NopEvents[[]byte] }

func (echo) OnMessage(s *getty.Session[[]byte], text []byte) error { return s.Send(text) }

// serve mounts the server into a router. Without one, srv.Listen("ws://localhost:8080/echo") does it.
func serve(ctx context.Context, address string) error {
	srv, err := getty.NewServer(codec.Raw{}, echo{}, config)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/echo", srv)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) })
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Printf("listening on ws://%s/echo\n", l.Addr())
	web := http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// The http.Server has handed the WebSocket connections over: each closes its own.
	return errors.Join(web.Shutdown(context.Background()), srv.Shutdown(context.Background()))
}

func talk(url string) error {
	echoes := make(chan string, 1)
	events := getty.EventFuncs[[]byte]{
		Message: func(_ *getty.Session[[]byte], text []byte) error {
			echoes <- string(text) // a copy: text is valid until the return
			return nil
		},
	}
	s, err := getty.Dial(context.Background(), url, codec.Raw{}, events, config)
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
