// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// A message is a number, what to do with it, and padding. The answer is the
// number. That of nothing is the server's farewell.
const (
	numberSize  = 8
	messageSize = 64
	farewell    = 0
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
	stallTime   = time.Second
	gracePeriod = time.Second
	endPatience = 20 * time.Second
	maxMessage  = 1024
	maxSessions = 9000 // 2 processes with at most 20 000 descriptors each, twice as many sessions while a server is replaced
)

// events are the server's. What came by udp it writes down.
type events struct {
	getty.NopEvents[[]byte]
	udp *ledger
}

var errAsked = errors.New("asked to close")

func (e events) OnMessage(s *getty.Session[[]byte], msg []byte) error {
	if len(msg) <= numberSize {
		return fmt.Errorf("a message of %d bytes", len(msg))
	}
	udp := s.Transport() == "udp"
	if udp {
		e.udp.arrive(binary.BigEndian.Uint64(msg))
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
	err := s.Send(msg[:numberSize])
	if udp && err == nil {
		e.udp.answer()
	}
	return err
}

func newServer(o order, l *ledger) (*getty.Server[[]byte], error) {
	pair, err := tls.X509KeyPair([]byte(o.Cert), []byte(o.Key))
	if err != nil {
		return nil, err
	}
	srv, err := getty.NewServer(codec.LengthField{}, events{udp: l}, getty.Config{
		TLS:            &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13},
		MaxMessageSize: maxMessage, IdleTimeout: time.Minute, MessageTimeout: 10 * time.Second,
		GracePeriod: gracePeriod,
	})
	if err == nil {
		srv.Farewell = func(s *getty.Session[[]byte]) {
			_ = s.Send(binary.BigEndian.AppendUint64(nil, farewell))
		}
	}
	return srv, err
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
