// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"go.uber.org/goleak"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/gettytest"
)

// childEnv makes the test's program one side of a cell: "server" or "client".
const childEnv = "GETTY_FAULTS_CHILD"

// spec is what a child is told first.
type spec struct {
	Transport, Fault, Side, Moment string

	Unit      time.Duration
	URL       string
	Cert, Key []byte
	Journal   string // the file of its book
	Base      uint64 // of the numbers of its messages
}

// order is a line to a child, report the line that answers it.
type order struct {
	Do   string
	Size int
}

type report struct {
	Err   string
	URL   string
	Live  int
	Tries int64 // accepts and dials that failed
	Page  page

	Closed    int // sessions
	Monotonic int64
	Left      string // at the end: what should not be there any more
}

// child is the side that runs in a process of its own.
type child struct {
	*party
	b       *bed
	srv     *getty.Server[[]byte]
	cl      *getty.Client[[]byte]
	release func()
	files   syscall.Rlimit
	clock   *wallClock

	goroutines  goleak.Option  // those of before
	descriptors map[string]int // likewise
	left        string
}

func runChild(side string) int {
	goroutines := goleak.IgnoreCurrent()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	var sp spec
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &sp) != nil {
		return 2
	}
	c := &child{party: newParty(side), b: &bed{cell: cell{sp.Transport, sp.Fault, sp.Side, sp.Moment}, unit: sp.Unit}, release: func() {}}
	c.udp, c.book.udp, c.book.base = sp.Transport == udp, sp.Transport == udp, sp.Base
	c.goroutines = goroutines
	out := json.NewEncoder(os.Stdout)
	reply := func(err error) {
		r := report{Live: len(c.sessions()), Monotonic: monotonic()}
		_, r.Closed = c.counts()
		if err != nil {
			r.Err = err.Error()
		}
		if c.srv != nil {
			r.URL, r.Tries = c.srv.URLs()[0], c.srv.Stats().AcceptErrors
		} else if c.cl != nil {
			r.Tries = c.cl.Stats().DialFailures
		}
		r.Page, r.Left = c.book.page(), c.left
		_ = out.Encode(r)
	}
	reply(c.start(side, sp))
	for lines.Scan() {
		var o order
		if json.Unmarshal(lines.Bytes(), &o) != nil {
			return 2
		}
		reply(c.obey(o))
	}
	return 0
}

func (c *child) start(side string, sp spec) (err error) {
	if c.book.journal, err = os.OpenFile(sp.Journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	if sp.Fault == clockJump {
		if c.clock, err = newWallClock(); err != nil {
			return err
		}
	}
	if c.descriptors, err = openDescriptors(); err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(sp.Cert, sp.Key)
	if err != nil {
		return err
	}
	if side == "server" {
		cfg := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		if c.srv, err = getty.NewServer[[]byte](liar{p: c.party}, c.party, c.b.config(cfg)); err != nil {
			return err
		}
		return c.srv.Listen(sp.URL)
	}
	cfg := &tls.Config{RootCAs: poolOf(pair), ServerName: "faults", MinVersion: tls.VersionTLS12}
	c.cl, err = getty.NewClient[[]byte](sp.URL, liar{p: c.party}, c.party, c.b.clientConfig(cfg, nil))
	return err
}

func (c *child) obey(o order) error {
	switch o.Do {
	case "connect":
		go func() { _ = c.cl.Connect(context.Background()) }()
	case "send":
		if ss := c.sessions(); len(ss) > 0 {
			c.send(ss[0], o.Size)
		}
	case "pass": // until a message passes
		before := c.book.count(acked)
		if !eventually(patience, c.b.unit, func() bool {
			for _, s := range c.sessions() {
				c.send(s, 40)
			}
			return eventually(c.b.unit/2, c.b.unit/200, func() bool { return c.book.count(acked) > before })
		}) {
			return fmt.Errorf("no message passes: %s", c.party)
		}
	case "fill":
		fillUp(c.party, c.sessions()[0], c.udp, c.b.unit)
	case "close":
		return c.sessions()[0].Close()
	case "jump":
		return c.clock.jump(time.Duration(o.Size) * time.Hour)
	case "nofile":
		return c.noFiles(true)
	case "files":
		return c.noFiles(false)
	case "end":
		return c.end()
	}
	return nil
}

// noFiles has every new descriptor fail.
func (c *child) noFiles(on bool) error {
	if !on {
		return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &c.files)
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &c.files); err != nil {
		return err
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: c.files.Max})
}

func (c *child) end() error {
	if !eventually(c.b.unit, c.b.unit/200, func() bool { return c.book.count(open, accepted) == 0 }) && c.udp {
		c.book.expire()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.shutdown(ctx); err != nil {
		return err
	}
	if err := errors.Join(nothingLeft(c.descriptors, c.goroutines), gettytest.VerifyBuffers()); err != nil {
		c.left = err.Error()
	}
	return nil
}

func (c *child) shutdown(ctx context.Context) error {
	if c.srv != nil {
		return c.srv.Shutdown(ctx)
	}
	return c.cl.Shutdown(ctx)
}
