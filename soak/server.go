// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// serverEnv makes this program the server's process.
const serverEnv = "GETTY_SOAK_SERVER"

// The process stays for the whole run, so that what leaks stays visible: it is
// the server inside that is ended and made again.
type order struct {
	Do        string // listen, close, shutdown or measure
	URLs      []string
	Cert, Key string
	GC        bool
}

// answer is the server's, one for each order.
type answer struct {
	Err   string
	URLs  []string
	Usage usage
	Stats getty.Stats
}

// A message is a number, what to do with it, and padding.
const (
	numberSize  = 8
	messageSize = 64
)

// deed is what a message asks of the server.
type deed byte

const (
	acknowledge deed = iota
	stall            // acknowledge after stallTime
	panics
	closes
)

const (
	stallTime     = time.Second
	endPatience   = 20 * time.Second
	listenPause   = 20 * time.Millisecond
	maxMessage    = 1024
	maxSessions   = 9000 // 2 processes with at most 20 000 descriptors each
	socketBacklog = 5 * time.Second
)

type events struct{ getty.NopEvents[[]byte] }

var errAsked = errors.New("asked to close")

func (events) OnMessage(s *getty.Session[[]byte], msg []byte) error {
	if len(msg) <= numberSize {
		return fmt.Errorf("a message of %d bytes", len(msg))
	}
	switch deed(msg[numberSize]) {
	case panics:
		panic("asked to panic")
	case closes:
		return errAsked
	case stall:
		select {
		case <-time.After(stallTime):
		case <-s.Done():
		}
	}
	return s.Send(msg[:numberSize])
}

// serve obeys orders until their end.
func serve(in io.Reader, out io.Writer) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM) // the parent ends it
	var srv *getty.Server[[]byte]
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); err != nil {
			if srv != nil {
				_ = srv.Close()
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var a answer
		var err error
		switch o.Do {
		case "listen":
			if srv, err = listen(o); err == nil {
				a.URLs = srv.URLs()
			}
		case "measure":
			a.Usage = measure(o.GC)
			if srv != nil {
				a.Stats = srv.Stats()
			}
		default:
			err = end(srv, o.Do == "close")
			srv = nil
		}
		if err != nil {
			a.Err = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

func listen(o order) (*getty.Server[[]byte], error) {
	pair, err := tls.X509KeyPair([]byte(o.Cert), []byte(o.Key))
	if err != nil {
		return nil, err
	}
	srv, err := getty.NewServer(codec.LengthField{}, events{}, getty.Config{
		TLS:            &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13},
		MaxMessageSize: maxMessage, IdleTimeout: time.Minute, MessageTimeout: 10 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	// A port of ours may serve another process while the server is away.
	deadline := time.Now().Add(socketBacklog)
	for {
		err = srv.Listen(o.URLs...)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return srv, err
		}
		<-time.After(listenPause)
	}
}

// end cuts or drains the server, and waits until nothing of it runs.
func end(srv *getty.Server[[]byte], cut bool) error {
	if cut {
		_ = srv.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	return srv.Shutdown(ctx)
}
