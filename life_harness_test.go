// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// endpoint is what a server and a client have in common.
type endpoint interface {
	Shutdown(ctx context.Context) error
	Close() error
	Stats() getty.Stats
	Sessions() iter.Seq[*session]
}

// spec is a session to be tested.
type spec struct {
	events    getty.EventListener[string]
	cfg       getty.Config
	configure func(*session, *setup) error
}

// opener makes one session of a spec. Its peer is the returned conn, raw.
type opener func(t testing.TB, sp spec) (endpoint, net.Conn)

// eachSide runs a test over every transport, once for an accepted session and
// once for a dialed one.
func eachSide(t *testing.T, test func(t *testing.T, open opener)) {
	eachTransport(t, func(t *testing.T, tr transport) {
		t.Run("accepted", func(t *testing.T) {
			test(t, func(t testing.TB, sp spec) (endpoint, net.Conn) {
				t.Helper()
				srv, url := serve(t, tr, sp.events, sp.cfg, func(s *getty.Server[string]) { s.Configure = sp.configure })
				return srv, peer(t, url)
			})
		})
		t.Run("dialed", func(t *testing.T) {
			test(t, func(t testing.TB, sp spec) (endpoint, net.Conn) {
				t.Helper()
				return dialRaw(t, tr, sp)
			})
		})
	})
}

// dialRaw connects a client that never dials again to a raw peer.
func dialRaw(t testing.TB, tr transport, sp spec) (endpoint, net.Conn) {
	t.Helper()
	url, accept := listenRaw(t, tr)
	c := pooled(t, url, sp.events, getty.ClientConfig{Config: sp.cfg, MaxFailures: 1})
	c.Configure = sp.configure
	c.Reconnect = func(*session, error) bool { return false }
	ctx := within(t)
	var connecting sync.WaitGroup
	connecting.Go(func() { _ = c.Connect(ctx) })
	t.Cleanup(connecting.Wait)
	t.Cleanup(func() { _ = c.Close() })
	nc := accept()
	if hs, ok := nc.(interface{ Handshake() error }); ok {
		must(t, hs.Handshake())
	}
	return c, nc
}

// finish shuts an endpoint down: afterwards nothing of it runs any more.
func finish(t testing.TB, ep endpoint) {
	t.Helper()
	must(t, ep.Shutdown(within(t)))
}

// halfClose ends what a raw peer sends; it still receives.
func halfClose(t testing.TB, nc net.Conn) {
	t.Helper()
	must(t, nc.(interface{ CloseWrite() error }).CloseWrite())
}

func write(t testing.TB, nc net.Conn, s string) {
	t.Helper()
	_, err := io.WriteString(nc, s)
	must(t, err)
}

// readAll reads until the end of the stream, which must not be an error.
func readAll(t testing.TB, nc net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(nc)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(b), err)
	}
	return string(b)
}

// readLines is readAll that only counts the lines.
func readLines(t testing.TB, nc net.Conn) (lines int) {
	t.Helper()
	buf := make([]byte, 64<<10)
	for {
		n, err := nc.Read(buf)
		lines += bytes.Count(buf[:n], []byte{'\n'})
		if errors.Is(err, io.EOF) {
			return lines
		}
		must(t, err)
	}
}

// readLine reads one line. It may read ahead: the rest of the stream is lost.
func readLine(t testing.TB, nc net.Conn) string {
	t.Helper()
	line, err := bufio.NewReader(nc).ReadString('\n')
	must(t, err)
	return strings.TrimSuffix(line, "\n")
}

// ask has a raw peer send a line to an echo and wait for the answer.
func ask(t testing.TB, nc net.Conn, line string) {
	t.Helper()
	write(t, nc, line+"\n")
	if got := readLine(t, nc); got != line {
		t.Fatalf("answer to %q is %q", line, got)
	}
}

// wantCause compares a cause of close; nil matches only nil.
func wantCause(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("cause is %v, want %v", got, want)
	}
}

// wantEnd waits for the only OnClose of a recorder and for its cause.
func wantEnd(t testing.TB, r *recorder, want error) {
	t.Helper()
	wantCause(t, receive(t, r.closed, "OnClose"), want)
}

// wantNoMore fails if a recorder that has been shut down got further events.
func wantNoMore(t testing.TB, r *recorder) {
	t.Helper()
	if n := len(r.messages); n > 0 {
		t.Errorf("%d more messages, first %q", n, <-r.messages)
	}
	if n := len(r.closed); n > 0 {
		t.Errorf("%d more OnClose, first cause %v", n, <-r.closed)
	}
}

// gate holds callbacks up until it is opened, at the latest by the end of the test.
type gate struct {
	passed chan struct{}
	open   func()
}

func newGate(t testing.TB) *gate {
	g := &gate{passed: make(chan struct{})}
	g.open = sync.OnceFunc(func() { close(g.passed) })
	t.Cleanup(g.open)
	return g
}

func (g *gate) wait() { <-g.passed }

// hooked is codec.Line whose hooks, if set, run in front of its methods.
type hooked struct {
	codec.Line
	onDecode func(data []byte) error
	onAppend func(msg string) error
}

func (h *hooked) Decode(data []byte) (string, int, error) {
	if h.onDecode != nil {
		if err := h.onDecode(data); err != nil {
			return "", 0, err
		}
	}
	return h.Line.Decode(data)
}

func (h *hooked) Append(dst []byte, msg string) ([]byte, error) {
	if h.onAppend != nil {
		if err := h.onAppend(msg); err != nil {
			return dst, err
		}
	}
	return h.Line.Append(dst, msg)
}

// with is a Configure that sets a codec.
func with(c getty.Codec[string]) func(*session, *setup) error {
	return func(_ *session, u *setup) error {
		u.Codec = c
		return nil
	}
}

// rawDial connects without a handshake.
func rawDial(url string) (net.Conn, error) {
	kind, addr, _ := splitURL(url)
	return net.Dial(networkOf(kind), addr)
}

// returns fails the test unless f returns by itself.
func returns(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	ended(t, done, "return of "+what)
}
