// SPDX-License-Identifier: Apache-2.0

//go:build !windows

// Command hotrestart is an echo server for lines that is replaced while it runs:
// on SIGHUP it starts its successor from the same path, which takes the listeners
// over, and drains. No connection is refused meanwhile, and clients that know its
// farewell lose no message.
//
// The listeners may come from systemd (LISTEN_FDS); without, they are opened here.
// On SIGTERM the server drains and ends. hotrestart.service and hotrestart.socket
// are units for it: systemd follows from one process to the next by the file that
// -pidfile names, and without it ends the service with the first of them.
//
// The listeners are of TCP. That of a unix socket removes its path when it is
// closed, which the successor still needs: SetUnlinkOnClose(false) comes first.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// farewell tells a client to go elsewhere, in the words of this protocol.
const farewell = "!bye"

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "`addresses` to serve, with commas between, unless systemd has given as many sockets")
	pidFile := flag.String("pidfile", "", "`path` of a file with the process ID of the newest process that is ready")
	flag.Parse()
	if err := run(strings.Split(*listen, ","), *pidFile); err != nil {
		log.Fatal(err)
	}
}

func run(addresses []string, pidFile string) error {
	replace, end := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(replace, syscall.SIGHUP)
	signal.Notify(end, syscall.SIGTERM, os.Interrupt)
	upgrader, err := tableflip.New(tableflip.Options{PIDFile: pidFile})
	if err != nil {
		return err
	}
	defer upgrader.Stop()
	listeners, err := inherit(upgrader.Fds, addresses)
	if err != nil {
		return err
	}
	srv, err := getty.NewServer(codec.Line{}, echo{}, getty.Config{})
	if err != nil {
		return err
	}
	srv.Farewell = func(s *getty.Session[string]) { _ = s.Send(farewell) }

	// The predecessor, if there is one, drains from here on. Nothing is accepted
	// before: a successor that fails must take no connection with it.
	if err := upgrader.Ready(); err != nil {
		return err
	}
	served := make(chan error, len(listeners))
	var at []string
	for _, l := range listeners {
		go func() { served <- srv.Serve(l) }()
		at = append(at, l.Addr().String())
	}
	fmt.Println("process", os.Getpid(), "is listening on", strings.Join(at, ","))
	failed := await(replace, end, upgrader, served)
	// Without a successor its copies of the listeners are closed, too: they would
	// take connections that nobody accepts any more.
	upgrader.Stop()
	<-upgrader.Exit()
	ctx, cancel := context.WithTimeout(context.Background(), getty.DefaultDrainTimeout)
	defer cancel()
	return errors.Join(failed, srv.Shutdown(ctx))
}

// await returns when a successor is ready, or the server is to end, also while a
// successor starts. The error is that of a listener.
func await(replace, end <-chan os.Signal, upgrader *tableflip.Upgrader, served <-chan error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	upgrading, failed := false, make(chan error, 1)
	for {
		wanted := replace
		if upgrading {
			wanted = nil // it waits for the end of this one
		}
		select {
		case <-wanted:
			upgrading = true
			go func() { failed <- upgrade(ctx, upgrader) }()
		case err := <-failed:
			upgrading = false
			if err != nil {
				log.Print("no successor: ", err) // so this one goes on
			}
		case <-end:
			return nil
		case <-upgrader.Exit():
			return nil
		case err := <-served:
			return err
		}
	}
}

// stillThere is how an Upgrader refuses to upgrade as long as it takes the
// predecessor for alive: for a moment longer than WaitForParent does. The error
// has no other name.
const stillThere = "parent hasn't exited"

// upgrade starts a successor, once the predecessor has drained.
func upgrade(ctx context.Context, upgrader *tableflip.Upgrader) error {
	ctx, cancel := context.WithTimeout(ctx, 2*getty.DefaultDrainTimeout)
	defer cancel()
	if err := upgrader.WaitForParent(ctx); err != nil {
		return err
	}
	for {
		err := upgrader.Upgrade()
		if err == nil || err.Error() != stillThere {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// inherit takes over what a predecessor or systemd has opened, and opens the rest.
func inherit(fds *tableflip.Fds, addresses []string) ([]net.Listener, error) {
	activated := os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid())
	if n := os.Getenv("LISTEN_FDS"); activated && n != strconv.Itoa(len(addresses)) {
		return nil, fmt.Errorf("systemd has given %s sockets for %d addresses", n, len(addresses))
	}
	var all []net.Listener
	for i, address := range addresses {
		l, err := fds.Listener("tcp", address)
		switch {
		case err != nil || l != nil:
		case activated:
			l, err = activation(fds, i, address)
		default:
			l, err = fds.Listen("tcp", address)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// activation takes a socket from systemd, for the successors, too.
func activation(fds *tableflip.Fds, i int, address string) (net.Listener, error) {
	const first = 3 // sd_listen_fds(3)
	f := os.NewFile(uintptr(first+i), "systemd")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	tl, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("systemd's socket is %s, want tcp", l.Addr().Network()), l.Close())
	}
	return tl, fds.AddListener("tcp", address, tl)
}

// echo answers each line with itself.
type echo struct{ getty.NopEvents[string] }

func (echo) OnMessage(s *getty.Session[string], line string) error { return s.Send(line) }
