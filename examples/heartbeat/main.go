// SPDX-License-Identifier: Apache-2.0

// Command heartbeat watches over peers by OnCron. With -dial it is a client that sends a beat in each period and is
// connected again when the server comes back; without, the server that closes who has not been heard of for three
// periods. Config.Keepalive and Config.IdleTimeout do the same without a line of code: OnCron is for what needs more
// than that, such as beats that carry a load or an order to move elsewhere.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

func main() {
	listen := flag.String("listen", "tcp://localhost:9002", "`URL` to serve")
	dial := flag.String("dial", "", "`URL` to connect to instead")
	period := flag.Duration("period", time.Second, "time between two beats")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run, url := serve, *listen
	if *dial != "" {
		run, url = beat, *dial
	}
	if err := run(ctx, url, *period); err != nil {
		log.Fatal(err)
	}
}

var errSilent = errors.New("no heartbeat")

// watcher closes silent sessions and answers beats.
type watcher struct {
	getty.NopEvents[string]
	patience time.Duration
}

func (w watcher) OnMessage(s *getty.Session[string], line string) error {
	fmt.Println(line)
	return s.Send(line)
}

func (w watcher) OnCron(s *getty.Session[string]) {
	if time.Since(s.LastActive()) > w.patience {
		s.CloseWithCause(errSilent)
	}
}

func (w watcher) OnClose(_ *getty.Session[string], cause error) { fmt.Println("closed:", cause) }

func serve(ctx context.Context, url string, period time.Duration) error {
	srv, err := getty.NewServer(codec.Line{}, watcher{patience: 3 * period}, getty.Config{CronPeriod: period})
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

// beater sends beats, and ends a session whose last beat was not answered.
type beater struct {
	getty.NopEvents[string]
	patience time.Duration
}

func (b beater) OnMessage(_ *getty.Session[string], line string) error {
	fmt.Println("answered:", line)
	return nil
}

func (b beater) OnCron(s *getty.Session[string]) {
	if time.Since(s.LastActive()) > b.patience {
		s.CloseWithCause(errSilent)
		return
	}
	_ = s.TrySend("beat " + time.Now().Format(time.TimeOnly)) // one that cannot leave is late anyway
}

func (b beater) OnClose(_ *getty.Session[string], cause error) { fmt.Println("closed:", cause) }

func beat(ctx context.Context, url string, period time.Duration) error {
	cfg := getty.ClientConfig{Config: getty.Config{CronPeriod: period}}
	client, err := getty.NewClient(url, codec.Line{}, beater{patience: 3 * period}, cfg)
	if err != nil {
		return err
	}
	if err := client.Connect(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return client.Shutdown(context.Background())
}
