// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/getty-net/getty"
)

const (
	dialArgs = "[flags] URL"

	// startAttempts is how often a server is tried that has never answered: a
	// typing error should not look like a server that is down for a while.
	startAttempts = 3
	// maxPause keeps the wait short for somebody who sits in front of it.
	maxPause = 2 * time.Second
	// dialDrain bounds the end, when what was accepted is still being sent.
	dialDrain = 10 * time.Second
)

// dialOptions is the command line of getty dial.
type dialOptions struct {
	url   string
	codec string
	wait  time.Duration
	cfg   getty.ClientConfig
}

func runDial(ctx context.Context, std stdio, cmd command, args []string) error {
	var o dialOptions
	fs := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	codecName := codecFlag(fs)
	ca := fs.String("ca", "", "`FILE` with the certificates to trust for tls and wss, in PEM, instead of the system's")
	name := fs.String("name", "", "`NAME` that the server's certificate must have; default: the host of the URL")
	insecure := fs.Bool("insecure", false, "do not verify the server's certificate")
	fs.DurationVar(&o.wait, "wait", 500*time.Millisecond, "at the end of input, end after nothing came for this `DURATION`")
	fs.IntVar(&o.cfg.PoolSize, "pool", 1, "`N` sessions, used in turn")
	fs.IntVar(&o.cfg.MaxMessageSize, "max-message", maxMessage, "limit for a message, in `BYTES` of its frame")
	compress := compressFlag(fs)
	cmd.help += "; raw sends and prints bytes as they are, newlines included, like nc"
	if err := parse(fs, std, cmd, args); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return usageError("want one URL to connect to")
	}
	o.url, o.codec = fs.Arg(0), *codecName
	o.cfg.Backoff.Max = maxPause
	o.cfg.WebSocket.Deflate.Enabled = true
	if o.codec == lineCodec {
		o.cfg.WebSocket.MessageType = getty.MessageText
	}
	var err error
	if o.cfg.Compression, err = compression(*compress); err != nil {
		return err
	}
	if o.cfg.TLS, err = clientTLS(*ca, *name, *insecure); err != nil {
		return err
	}
	return withCodec(o.codec, dial[[]byte](ctx, std, o), dial[string](ctx, std, o))
}

// dial connects, and talks until the input or ctx ends.
func dial[M text](ctx context.Context, std stdio, o dialOptions) func(getty.Codec[M]) error {
	return func(c getty.Codec[M]) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		talk := &conversation[M]{std: std, raw: o.codec == rawCodec, url: o.url, stop: stop}
		connecting, giveUp := context.WithCancelCause(ctx)
		defer giveUp(nil)
		var connected atomic.Bool
		o.cfg.OnReconnect = func(failures int, err error) {
			switch {
			case connected.Load():
				talk.note("reconnecting to %s: %v", o.url, err)
			case failures >= startAttempts:
				giveUp(fmt.Errorf("gave up after %d attempts", failures))
			}
		}
		client, err := getty.NewClient(o.url, c, getty.EventListener[M](talk), o.cfg)
		if err != nil {
			return err
		}
		defer shutdown(ctx, client.Shutdown)
		if err := client.Connect(connecting); err != nil {
			if ctx.Err() != nil {
				return nil // interrupted
			}
			return fmt.Errorf("cannot connect to %s: %w", o.url, err)
		}
		connected.Store(true)
		return talk.run(ctx, client, o.wait)
	}
}

func shutdown(ctx context.Context, end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialDrain)
	defer cancel()
	_ = end(ctx)
}

// clientTLS verifies, unless told otherwise in so many words.
func clientTLS(ca, name string, insecure bool) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure} //nolint:gosec // the user said so in so many words
	if ca == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(ca) //nolint:gosec // the user's own file
	if err != nil {
		return nil, fmt.Errorf("load CA: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("load CA: no certificate in " + ca)
	}
	return cfg, nil
}
