// SPDX-License-Identifier: Apache-2.0

// Command load drives an echo server and prints what it measured as one line of JSON. With -once it sends one
// message per connection, and with -hold it then keeps the connections until it reads a line, so that whoever
// started it can look at the server meanwhile.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/getty-net/getty/bench/internal/load"
)

func main() {
	var cfg load.Config
	flag.StringVar(&cfg.Addr, "addr", "", "address of the server")
	flag.IntVar(&cfg.Conns, "conns", 100, "connections")
	flag.IntVar(&cfg.Body, "body", 64, "bytes in each body")
	flag.IntVar(&cfg.Depth, "depth", 1, "messages in flight on each connection")
	flag.BoolVar(&cfg.TLS, "tls", false, "speak TLS")
	flag.BoolVar(&cfg.WebSocket, "ws", false, "speak WebSocket")
	flag.BoolVar(&cfg.Deflate, "deflate", false, "compress the messages of WebSocket")
	flag.BoolVar(&cfg.UDP, "udp", false, "send packets over UDP")
	flag.Float64Var(&cfg.Rate, "rate", 0, "messages per second; 0: as fast as the echoes return")
	flag.IntVar(&cfg.Quiet, "quiet", 0, "further connections that send now and then, whose latency is measured")
	flag.DurationVar(&cfg.Warmup, "warmup", 300*time.Millisecond, "time before measuring")
	flag.DurationVar(&cfg.Duration, "duration", time.Second, "measured time")
	flag.IntVar(&cfg.PID, "pid", 0, "process of the server, to read its processor time")
	once := flag.Bool("once", false, "send one message per connection, no load")
	hold := flag.Bool("hold", false, "stop after connecting and after the load, each until a line is read")
	flag.Parse()

	// A collection in the middle would stop the only thread; the limit is a safety net.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(2 << 30)
	if err := run(cfg, *once, *hold); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// status is printed at each stop of -hold.
type status struct {
	Conns int `json:"conns"`
	Open  int `json:"open"`
}

func run(cfg load.Config, once, hold bool) error {
	l, err := load.Open(cfg)
	if err != nil {
		return err
	}
	defer l.Close()
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	stop := func() error {
		if !hold {
			return nil
		}
		if err := out.Encode(status{cfg.Conns, l.Open()}); err != nil {
			return err
		}
		_, err := in.ReadString('\n')
		return err
	}
	// All connections have been accepted and served before anything is measured.
	if err := l.Once(20 * time.Second); err != nil {
		return err
	}
	if err := stop(); err != nil || once {
		if once && err == nil {
			return out.Encode(status{cfg.Conns, l.Open()})
		}
		return err
	}
	res, err := l.Run()
	if err != nil {
		return err
	}
	if err := out.Encode(res); err != nil {
		return err
	}
	return stop()
}
