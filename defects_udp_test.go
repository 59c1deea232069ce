// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// Rules of which the tests over all transports speak of streams.

func TestD50UDPMessagesStayUntilOnMessageReturns(t *testing.T) {
	const peers, n = 3, 100
	for _, x := range executors {
		t.Run(x.name, func(t *testing.T) {
			events := getty.EventFuncs[[]byte]{Message: func(s *getty.Session[[]byte], m []byte) error {
				wantKept(t, m)
				return s.Send(m[:1])
			}}
			srv, err := getty.NewServer(codec.Raw{}, events, x.cfg(t))
			must(t, err)
			must(t, srv.Listen(udpTransport.url(t)))
			t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
			var talking sync.WaitGroup
			for range peers {
				nc := udpPeer(t, srv.URLs()[0])
				talking.Go(func() {
					b := make([]byte, 10)
					for i := range n {
						for _, letter := range []byte{'a', 'b'} { // two are on their way
							p := []byte(strings.Repeat(string(rune(letter+byte(i%20))), 1+i*i%7000))
							if _, err := nc.Write(p); err != nil {
								t.Error(err)
							}
						}
						for range 2 {
							if _, err := nc.Read(b); err != nil {
								t.Error(err)
								return
							}
						}
					}
				})
			}
			talking.Wait()
		})
	}
}

func TestD52UDPCountersAreExactOnBothEnds(t *testing.T) {
	const share = 50
	srv, url := udpServe(t, echo, getty.Config{})
	var bytes int64
	for n := range 3 {
		r := record()
		s := dial(t, url, r, getty.Config{})
		var own int64
		for i := range share {
			line := numbered(n, i, i*97%5000)
			must(t, s.Send(line))
			receive(t, r.messages, "answer")
			own += int64(len(line) + 1)
		}
		want := getty.SessionStats{BytesIn: own, BytesOut: own, MessagesOut: share}
		udpUntil(t, "counters", func() bool {
			got := s.Stats()
			want.MessagesIn = got.MessagesIn // those of a batch are added at its end
			return got == want
		})
		must(t, s.Close())
		wantEnd(t, r, nil)
		if got := s.Stats().MessagesIn; got != share {
			t.Errorf("%d messages in, want %d", got, share)
		}
		bytes += own
	}
	finish(t, srv)
	if st := srv.Stats(); st.BytesIn != bytes || st.BytesOut != bytes || st.MessagesIn != 3*share || st.MessagesOut != 3*share {
		t.Errorf("server's stats are %+v, want %d bytes and %d messages each way", st, bytes, 3*share)
	}
}

func TestD53UDPPayloadsAreNeverLogged(t *testing.T) {
	const secret = "hunter2"
	var log logged
	r := record()
	r.onMessage = echoOrFail
	cfg := getty.Config{
		MaxMessageSize: 100, UDP: getty.UDP{MaxPacketSize: 200},
		Logger: log.logger(),
	}
	srv, url := udpServe(t, r, cfg)
	for _, end := range []string{"error ", "panic "} {
		nc := udpPeer(t, url)
		udpWantEcho(t, nc, "fine "+secret+"\n")
		// No whole message, one that is too long, and a packet that is.
		for _, bad := range []string{secret, strings.Repeat(secret, 20) + "\n", strings.Repeat(secret, 50) + "\n"} {
			write(t, nc, bad)
		}
		udpWantEcho(t, nc, "still fine\n")
		write(t, nc, end+secret+"\n")
		receive(t, r.closed, "OnClose")
	}
	write(t, udpPeer(t, url), secret) // opens nothing
	udpUntil(t, "refusal", func() bool { return srv.Stats().Failed == 1 })
	finish(t, srv)
	if got := log.text(); strings.Contains(got, secret) || !strings.Contains(got, "packet spoiled") {
		t.Errorf("the log is %s", got)
	}
}
