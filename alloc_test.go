// SPDX-License-Identifier: Apache-2.0

//go:build unix && !race && !getty_portable && !getty_debug

package getty_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// What a server allocates is measured with its peers in a process of their own,
// which is this test binary again: nothing has to be subtracted.

// peerEnv tells TestAllocPeer that it is that process: "URL work count".
const peerEnv = "GETTY_TEST_ALLOC_PEER"

// TestAllocPeer is the body of the other process and no test.
func TestAllocPeer(t *testing.T) {
	job := os.Getenv(peerEnv)
	if job == "" {
		t.Skip("for the other process only")
	}
	var url, work string
	var n int
	_, err := fmt.Sscan(job, &url, &work, &n)
	must(t, err)
	switch work {
	case "sessions":
		repeat(t, func(count int) {
			for range count {
				nc := rawPeer(t, url)
				exchange(t, nc, 1)
				must(t, nc.Close())
			}
		}, n)
	case "single", "pipelined":
		batch := map[string]int{"single": 1, "pipelined": 16}[work]
		nc := rawPeer(t, url)
		defer func() { _ = nc.Close() }()
		repeat(t, func(count int) {
			for range count / batch {
				exchange(t, nc, batch)
			}
		}, n)
	default:
		t.Fatalf("no such work: %q", work)
	}
}

// repeat warms up, and does n more when it is told so.
func repeat(t *testing.T, do func(count int), n int) {
	do(n / 4)
	fmt.Println("ready")
	if _, err := fmt.Scanln(new(string)); err != nil {
		t.Fatal(err)
	}
	do(n)
	fmt.Println("done")
	if _, err := fmt.Scanln(new(string)); err != nil {
		t.Fatal(err)
	}
}

func rawPeer(t *testing.T, url string) net.Conn {
	kind, addr, path := splitURL(url)
	nc, err := net.Dial(networkOf(kind), addr)
	must(t, err)
	if kind == "tls" || kind == "wss" {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is the other process's
	}
	if kind == "ws" || kind == "wss" {
		nc = &wsRaw{Conn: nc, br: bufio.NewReader(nc), client: true, path: path, cut: 4 + exchangeSize}
	}
	return nc
}

// exchangeSize is the length of the messages that are exchanged.
const exchangeSize = 100

// exchange sends a batch of frames in one write and reads the answers.
func exchange(t *testing.T, nc net.Conn, batch int) {
	frame := binary.BigEndian.AppendUint32(nil, exchangeSize)
	frame = append(frame, make([]byte, exchangeSize)...)
	out := make([]byte, 0, batch*len(frame))
	for range batch {
		out = append(out, frame...)
	}
	_, err := nc.Write(out)
	must(t, err)
	_, err = io.ReadFull(nc, out)
	must(t, err)
}

// allocations starts a server of the []byte echo and a peer process, and
// returns what was allocated here while that did its n pieces of work.
func allocations(t *testing.T, tr transport, work string, n int) float64 {
	t.Helper()
	events := getty.EventFuncs[[]byte]{
		Message: func(s *getty.Session[[]byte], m []byte) error { return s.Send(m) },
	}
	var open sync.WaitGroup // waited for without looking again and again, which would allocate
	if work == "sessions" {
		open.Add(n/4 + n)
		events.Close = func(*getty.Session[[]byte], error) { open.Done() }
	}
	srv, err := getty.NewServer(codec.LengthField{}, events, getty.Config{TLS: serverTLS()})
	must(t, err)
	must(t, srv.Listen(tr.url(t)))
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })

	cmd := exec.CommandContext(within(t), os.Args[0], "-test.run=^TestAllocPeer$") //nolint:gosec // this binary
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", peerEnv, srv.URLs()[0], work, n))
	in, err := cmd.StdinPipe()
	must(t, err)
	pipe, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	out := bufio.NewReader(pipe)

	wantLine(t, out, "ready")
	before := mallocs()
	say(t, in, "go")
	wantLine(t, out, "done")
	returns(t, "the end of all sessions", open.Wait)
	made := mallocs() - before
	say(t, in, "end")
	must(t, cmd.Wait())
	return float64(made) / float64(n)
}

func wantLine(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil || line != want+"\n" {
		t.Fatalf("other process said %q (%v), want %q", line, err, want)
	}
}

func say(t *testing.T, w io.Writer, word string) {
	t.Helper()
	_, err := fmt.Fprintln(w, word)
	must(t, err)
}

func TestAllocEchoPerMessage(t *testing.T) {
	const messages = 32_000
	// crypto/tls makes one for each record that it reads.
	records := map[string]float64{"single/tls": 1, "pipelined/tls": 1. / 16, "single/wss": 1, "pipelined/wss": 1. / 16}
	for _, work := range []string{"single", "pipelined"} {
		t.Run(work, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, tr transport) {
				got := allocations(t, tr, work, messages)
				t.Logf("%.4f allocations per message", got)
				if want := records[work+"/"+tr.name]; got > want+0.01 {
					t.Errorf("%.4f allocations per message, want %.4f", got, want)
				}
			})
		})
	}
}

func TestAllocPerSession(t *testing.T) {
	const sessions = 400
	// Of the handshake more than of anything else, and that is crypto/tls's.
	most := map[string]float64{"tls": 1000, "ws": 100, "wss": 1100}
	eachTransport(t, func(t *testing.T, tr transport) {
		got := allocations(t, tr, "sessions", sessions)
		t.Logf("%.1f allocations per session", got)
		want, special := most[tr.name]
		if !special {
			want = 25
		}
		if got > want {
			t.Errorf("%.1f allocations per session opened and closed, want at most %.0f", got, want)
		}
	})
}

// TestAllocDeflate: compressed messages cost no memory either, on both sides.
// What they were before compression counts for the size of the next buffer.
func TestAllocDeflate(t *testing.T) {
	cfg := getty.Config{WebSocket: getty.WebSocketConfig{Deflate: getty.Deflate{Enabled: true}}}
	echo := getty.EventFuncs[[]byte]{
		Message: func(s *getty.Session[[]byte], m []byte) error { return s.Send(m) },
	}
	srv, err := getty.NewServer(codec.Raw{}, echo, cfg)
	must(t, err)
	must(t, srv.Listen("ws://127.0.0.1:0"))
	t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })

	answers := make(chan int, 1)
	s, err := getty.Dial(within(t), srv.URLs()[0], codec.Raw{}, getty.EventFuncs[[]byte]{
		Message: func(_ *getty.Session[[]byte], m []byte) error { answers <- len(m); return nil },
	}, cfg)
	must(t, err)
	for _, message := range [][]byte{bytes.Repeat([]byte("0"), 64<<10), bytes.Repeat([]byte("words and words "), 1<<10)} {
		got := testing.AllocsPerRun(500, func() {
			must(t, s.Send(message))
			if n := <-answers; n != len(message) {
				t.Errorf("%d bytes came back of %d", n, len(message))
			}
		})
		if got > 0 {
			t.Errorf("%v allocations for a message of %d bytes", got, len(message))
		}
	}
}

// TestAllocRefusedPackets: a flood of packets from made-up senders takes no memory.
func TestAllocRefusedPackets(t *testing.T) {
	const packets, atOnce = 8192, 128 // few enough for the socket's buffer
	for _, tt := range []struct {
		name, kind string
		cfg        getty.Config
		allowed    float64 // for each packet
	}{
		// Looking takes some, much less than one for each packet.
		{"denied", "denied", getty.Config{Guard: getty.Guard{Access: getty.NewAccessList(nil, prefixes("127.0.0.0/8"))}}, 0.5},
		{"UDP.MaxSessions", "too many sessions", getty.Config{UDP: getty.UDP{MaxSessions: 1}}, 0.5},
		// The error is made, but no session.
		{"MaxSessionsPerAddr", "too many sessions", getty.Config{MaxSessionsPerAddr: 1}, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv, url := serve(t, udpTransport, echo, tt.cfg, nil)
			if tt.kind != "denied" {
				udpWantEcho(t, udpPeer(t, url), "hello\n")
			}
			nc, p := udpPeer(t, url), []byte("let me in\n")
			before := mallocs()
			for sent := int64(0); sent < packets; {
				for range atOnce {
					_, err := nc.Write(p)
					must(t, err)
					sent++
				}
				reaches(t, sent, "the number of refusals", func() int64 { return srv.Stats().Refusals[tt.kind] })
			}
			if made := mallocs() - before; float64(made) > tt.allowed*packets {
				t.Errorf("%d allocations for %d packets", made, packets)
			} else {
				t.Logf("%d allocations for %d packets", made, packets)
			}
		})
	}
}
