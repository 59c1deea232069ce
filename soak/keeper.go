// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/getty-net/getty"
)

// serverEnv makes this program the server's process.
const serverEnv = "GETTY_SOAK_SERVER"

// The process stays for the whole run, so that what leaks stays visible: it is
// the server inside that is ended and made again.
type order struct {
	ID        int
	Do        string // measure, ledger and prime; listen, replace, close and shutdown, of which there is one at a time
	URLs      []string
	Cert, Key string
	GC        bool
	Count     int // of goroutines, to prime
}

// answer is the server's, one for each order.
type answer struct {
	ID     int
	Err    string
	URLs   []string
	Usage  usage
	Ledger *ledgerSheet
}

const (
	listenPause  = 20 * time.Millisecond
	listenWithin = 10 * time.Second // a predecessor may have to drain, or another process have our port
)

// keeper is the server's process. One goroutine makes and ends servers, which
// takes time; the main one measures meanwhile.
type keeper struct {
	ledger ledger
	srv    *getty.Server[[]byte] // the first goroutine's

	mu      sync.Mutex
	answers *json.Encoder
}

// serve obeys orders until their end.
func serve(in io.Reader, out io.Writer) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM) // the parent ends it
	k := &keeper{answers: json.NewEncoder(out)}
	long, ended := make(chan order), make(chan struct{})
	go func() {
		defer close(ended)
		for o := range long {
			k.answer(o, k.change)
		}
		if k.srv != nil {
			_ = end(k.srv, true) // whose buffers are looked for
		}
	}()
	defer func() { close(long); <-ended }()
	for orders := json.NewDecoder(in); ; {
		var o order
		switch err := orders.Decode(&o); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		switch o.Do {
		case "measure", "ledger", "prime":
			k.answer(o, k.look)
		default:
			long <- o
		}
	}
}

func (k *keeper) answer(o order, obey func(o order, a *answer) error) {
	a := answer{ID: o.ID}
	if err := obey(o, &a); err != nil {
		a.Err = err.Error()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.answers.Encode(a) // without a parent the orders end as well
}

func (k *keeper) look(o order, a *answer) error {
	switch o.Do {
	case "ledger":
		a.Ledger = k.ledger.close()
	case "prime":
		prime(o.Count)
	default:
		a.Usage = measure(o.GC)
	}
	return nil
}

func (k *keeper) change(o order, a *answer) (err error) {
	old := k.srv
	switch o.Do {
	case "listen":
		a.URLs, err = k.listen(o)
	case "replace":
		drained := make(chan error, 1)
		go func() { drained <- end(old, false) }()
		a.URLs, err = k.listen(o)
		err = errors.Join(err, <-drained)
	case "close", "shutdown":
		k.srv = nil
		err = end(old, o.Do == "close")
	default:
		err = fmt.Errorf("what is %q?", o.Do)
	}
	return err
}

// listen makes a server. The address of udp comes last: it is free only when a
// predecessor has drained.
func (k *keeper) listen(o order) (urls []string, err error) {
	srv, err := newServer(o, &k.ledger)
	if err != nil {
		return nil, err
	}
	k.srv = srv
	urls = make([]string, len(o.URLs))
	for _, last := range [...]bool{false, true} {
		for i, url := range o.URLs {
			if strings.HasPrefix(url, "udp:") != last {
				continue
			}
			if err := listen(srv, url); err != nil {
				return nil, err
			}
			known := srv.URLs()
			urls[i] = known[len(known)-1]
		}
	}
	return urls, nil
}

func listen(srv *getty.Server[[]byte], url string) error {
	for deadline := time.Now().Add(listenWithin); ; <-time.After(listenPause) {
		err := srv.Listen(url)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return err
		}
	}
}
