// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/getty-net/getty"
)

const echoArgs = "[flags] URL..."

// echoDrain is how long peers get at the end to take what was sent to them.
const echoDrain = 5 * time.Second

// runEcho parses the command line of getty echo.
func runEcho(ctx context.Context, std stdio, cmd command, args []string) error {
	var cfg getty.Config
	fs := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	codecName := codecFlag(fs)
	compress := compressFlag(fs)
	cert := fs.String("cert", "", "`FILE` with the certificate for tls and wss, in PEM")
	key := fs.String("key", "", "`FILE` with its key, in PEM")
	fs.IntVar(&cfg.Workers, "workers", 0, "`N` goroutines run the handlers; 0: each session's own")
	fs.IntVar(&cfg.MaxMessageSize, "max-message", maxMessage, "limit for a message, in `BYTES` of its frame")
	if err := parse(fs, std, cmd, args); err != nil {
		return err
	}
	// Any page may talk to an echo.
	cfg.WebSocket = getty.WebSocketConfig{
		MessageType: getty.MessageLast, Origins: []string{"*"}, Deflate: getty.Deflate{Enabled: true},
	}
	urls := fs.Args()
	if len(urls) == 0 {
		return usageError("no URL to listen on")
	}
	var err error
	if cfg.Compression, err = compression(*compress); err != nil {
		return err
	}
	if cfg.TLS, err = serverTLS(urls, *cert, *key); err != nil {
		return err
	}
	return withCodec(*codecName, echo[[]byte](ctx, std, cfg, urls), echo[string](ctx, std, cfg, urls))
}

// echo serves until ctx ends.
func echo[M text](ctx context.Context, std stdio, cfg getty.Config, urls []string) func(getty.Codec[M]) error {
	return func(c getty.Codec[M]) error {
		srv, err := getty.NewServer(c, getty.EventFuncs[M]{
			Message: func(s *getty.Session[M], msg M) error { return s.Send(msg) },
		}, cfg)
		if err != nil {
			return err
		}
		if err := srv.Listen(urls...); err != nil {
			return err
		}
		for _, url := range srv.URLs() {
			_, _ = fmt.Fprintln(std.out, "listening on", url)
		}
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), echoDrain)
		defer cancel()
		// Peers that do not read are cut in the end; that is a clean end, too.
		_ = srv.Shutdown(drain)
		return nil
	}
}

// serverTLS loads the certificate if one is given, and insists on it for tls.
func serverTLS(urls []string, cert, key string) (*tls.Config, error) {
	isTLS := func(url string) bool { return strings.HasPrefix(url, "tls://") || strings.HasPrefix(url, "wss://") }
	switch {
	case (cert == "") != (key == ""), cert == "" && slices.ContainsFunc(urls, isTLS):
		return nil, usageError("tls and wss need both --cert and --key")
	case cert == "":
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("load certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
