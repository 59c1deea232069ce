// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// spec is what the server process is told on its standard input, where the key
// is seen by nobody else.
type spec struct {
	URLs      []string
	Cert, Key string
}

const (
	listening = "listening on "
	ready     = "ready"

	// A port of ours may serve another process for a moment while we are down.
	listenPatience = 5 * time.Second
	listenPause    = 50 * time.Millisecond
)

// Serve acknowledges messages until the end of its input, which comes when the
// process that started it closes it or is gone, whatever became of it.
func Serve(in io.Reader, out io.Writer) error {
	// Ctrl-C in a terminal is for the parent, which ends this process last.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	var sp spec
	if err := json.NewDecoder(in).Decode(&sp); err != nil {
		return fmt.Errorf("read the specification: %w", err)
	}
	pair, err := tls.X509KeyPair([]byte(sp.Cert), []byte(sp.Key))
	if err != nil {
		return err
	}
	srv, err := getty.NewServer(codec.LengthField{}, getty.EventFuncs[[]byte]{Message: acknowledge}, getty.Config{
		TLS:            &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13},
		MaxMessageSize: 1024,
	})
	if err != nil {
		return err
	}
	if err := listen(srv, sp.URLs); err != nil {
		return err
	}
	for _, url := range srv.URLs() {
		_, _ = fmt.Fprintln(out, listening+url)
	}
	_, _ = fmt.Fprintln(out, ready)
	_, _ = io.Copy(io.Discard, in)
	_ = srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	err = srv.Shutdown(ctx)
	sp.removeDir()
	return err
}

// acknowledge sends back the number of a message.
func acknowledge(s *getty.Session[[]byte], msg []byte) error {
	if len(msg) < numberSize {
		return fmt.Errorf("message of %d bytes has no number", len(msg))
	}
	return s.Send(msg[:numberSize])
}

func listen(srv *getty.Server[[]byte], urls []string) error {
	deadline := time.Now().Add(listenPatience)
	for {
		err := srv.Listen(urls...)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(listenPause)
	}
}

// removeDir removes the directory of the socket, in case that the parent, whose
// it is, did not live to do so. The socket is gone already.
func (sp *spec) removeDir() {
	for _, url := range sp.URLs {
		if path, ok := strings.CutPrefix(url, "unix://"); ok {
			_ = os.Remove(filepath.Dir(path))
		}
	}
}
