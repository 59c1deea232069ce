// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// hold connects, and returns when the next one is refused on that account.
func hold(k kind, addr string) (net.Conn, error) {
	if k.packets {
		held, err := net.Dial("udp", addr)
		if err == nil {
			_, err = held.Write(k.sends()) // the server reads it before all that is sent later
		}
		return held, err
	}
	held, err := net.Dial("tcp", addr)
	for err == nil {
		var nc net.Conn
		if nc, err = net.Dial("tcp", addr); err != nil {
			break
		}
		if refused(nc) && !refused(held) {
			return held, nc.Close()
		}
		_, _ = nc.Close(), held.Close() // it came second
		held, err = net.Dial("tcp", addr)
	}
	return nil, err
}

// refused reports whether a connection is closed soon.
func refused(nc net.Conn) bool {
	_ = nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := nc.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// attack makes n attempts, so many peers at once, that send p.
func attack(k kind, addr string, p []byte, n, peers int) error {
	if k.packets {
		return flood(addr, p, n, peers)
	}
	var wg sync.WaitGroup
	errs := make([]error, peers)
	for i := range errs {
		wg.Go(func() {
			sink := make([]byte, 4<<10)
			for range n / peers {
				if errs[i] = attempt(k, addr, p, sink); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return firstError(errs...)
}

// attempt connects, sends, and waits for the end of the connection.
func attempt(k kind, addr string, p, sink []byte) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	patience := 200 * time.Millisecond // some are within the rate
	if k.slow || k.deaf {
		patience = 20 * time.Second
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	if k.shakes {
		tc := tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate was made for this
		if err := tc.Handshake(); err != nil {
			return err
		}
		nc = tc
	}
	_, _ = nc.Write(p) // it may be cut off
	for k.persists && err == nil {
		_, err = nc.Write(sink)
	}
	if k.deaf {
		return ignore(nc)
	}
	for err == nil {
		_, err = nc.Read(sink)
	}
	return nil
}

// ignore reads nothing, and finds by writing that the connection has ended.
func ignore(nc net.Conn) error {
	for {
		time.Sleep(2 * time.Millisecond)
		_, err := nc.Write([]byte{0})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err != nil {
			return nil
		}
	}
}

// flood sends n packets from so many sockets, and gives the server a moment after
// each round of these: what its socket has no room for costs it nothing.
func flood(addr string, packet []byte, n, sockets int) error {
	conns := make([]net.Conn, sockets)
	for i := range conns {
		nc, err := net.Dial("udp", addr)
		if err != nil {
			return err
		}
		defer nc.Close()
		conns[i] = nc
	}
	for range n / sockets {
		for _, nc := range conns {
			if _, err := nc.Write(packet); err != nil {
				return err
			}
		}
		time.Sleep(200 * time.Microsecond)
	}
	return nil
}
