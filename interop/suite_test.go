// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/getty-net/getty"
)

// peer is an implementation of WebSocket that is not getty.
type peer interface {
	// dial connects to getty.
	dial(t *testing.T, url string, o setting) remote
	// listen accepts one connection; the remote says where in its first event.
	listen(t *testing.T, o setting) remote
}

// remote is a peer's end of a connection. The peer does what it is told and
// tells what happens; in JSON this is what programs speak on their standard
// input and output.
type remote struct {
	do     func(command) error
	events <-chan event
}

// command is what a remote is to do.
type command struct {
	Do     string   `json:"do"`    // send, ping or close
	Text   bool     `json:"text"`  // rather than binary
	Parts  [][]byte `json:"parts"` // of the message, each a fragment if the peer can do that
	Code   int      `json:"code"`
	Reason string   `json:"reason"`
}

// event is what has happened to a remote.
type event struct {
	Event    string `json:"event"` // listening, open, message, pong or close
	URL      string `json:"url"`
	Protocol string `json:"protocol"`
	Text     bool   `json:"text"`
	Data     []byte `json:"data"`
	Code     int    `json:"code"` // 1006: there was no close frame
	Reason   string `json:"reason"`
}

func (r remote) next(t *testing.T, kind string) event {
	t.Helper()
	e := receive(t, r.events, kind)
	if e.Event != kind {
		t.Fatalf("the peer says %s %d %q, want %s", e.Event, e.Code, e.Reason, kind)
	}
	return e
}

func (r remote) tell(t *testing.T, c command) {
	t.Helper()
	must(t, r.do(c))
}

// offered is what peers offer or choose from, besides something that getty
// does not know.
var offered = []string{"unknown", "echo.v1"}

// connection is both ends of one.
type connection struct {
	*side
	remote
	session *getty.Session[[]byte]
	server  *getty.Server[[]byte] // nil if getty is the client
}

func connect(t *testing.T, p peer, o setting, asServer bool) connection {
	t.Helper()
	c := connection{side: newSide()}
	if asServer {
		var url string
		url, c.server = o.serve(t, c.side)
		c.remote = p.dial(t, url, o)
	} else {
		c.remote = p.listen(t, o)
		o.dial(t, c.next(t, "listening").URL, c.side)
	}
	if got := c.next(t, "open").Protocol; got != "echo.v1" {
		t.Errorf("the peer says that the subprotocol is %q", got)
	}
	c.session = receive(t, c.opened, "session")
	up := c.session.Upgrade()
	if up.Subprotocol != "echo.v1" || up.Compressed != o.deflate {
		t.Errorf("subprotocol %q, compressed %t", up.Subprotocol, up.Compressed)
	}
	return c
}

// ends checks what the peer knows of the end, and returns what getty does.
func (c connection) ends(t *testing.T, code int, reason string) (cause error) {
	t.Helper()
	if e := c.next(t, "close"); e.Code != code || e.Reason != reason {
		t.Errorf("the peer says %d %q, want %d %q", e.Code, e.Reason, code, reason)
	}
	return receive(t, c.closed, "end of the session")
}

// eachSetting runs a test in both directions of all settings.
func eachSetting(t *testing.T, test func(t *testing.T, o setting, asServer bool)) {
	for _, o := range settings {
		t.Run(o.name+"/server", func(t *testing.T) {
			t.Parallel()
			test(t, o, true)
		})
		if o.mounted {
			continue
		}
		t.Run(o.name+"/client", func(t *testing.T) {
			t.Parallel()
			test(t, o, false)
		})
	}
}

// runSuite runs all that a peer is to be tested with.
func runSuite(t *testing.T, p peer) {
	t.Run("echo", func(t *testing.T) {
		eachSetting(t, func(t *testing.T, o setting, asServer bool) { testEcho(t, connect(t, p, o, asServer)) })
	})
	for _, asServer := range []bool{true, false} {
		name := map[bool]string{true: "server", false: "client"}[asServer]
		t.Run("pings/"+name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, p, setting{ping: true}, asServer)
			receive(t, c.ponged, "pongs to getty's pings")
			for range 3 {
				c.tell(t, command{Do: "ping"})
				c.next(t, "pong")
			}
		})
		for _, e := range endings {
			t.Run("close/"+e.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				c := connect(t, p, setting{deflate: true}, asServer)
				e.end(t, c)
				e.check(t, c.ends(t, e.code, e.reason))
			})
		}
	}
}

// testEcho sends messages of all kinds, and many at once.
func testEcho(t *testing.T, c connection) {
	long := strings.Repeat("context ", 100)
	tests := []struct {
		name  string
		text  bool
		parts []string
	}{
		{"text", true, []string{"hello"}},
		{"text with NUL and more", true, []string{"\x00 ä 世 🎈 \u0080 \U0010FFFF"}},
		{"empty text", true, []string{""}},
		{"binary", false, []string{"\x00\xff\xfe\x80"}},
		{"empty binary", false, []string{""}},
		{"fragments of text", true, []string{"a", "", "ä世🎈", long}},
		{"fragments of binary", false, []string{"\xf0", "\x9f", "", "\x8e"}},
		{"1 MiB of text", true, []string{string(megabyte)}},
		{"1 MiB of binary", false, []string{string(noise)}},
		{"long fragments", true, []string{string(megabyte[:1<<16]), string(megabyte[:1<<17])}},
		{"125 bytes", false, []string{string(noise[:125])}},
		{"126 bytes", false, []string{string(noise[:126])}},
		{"64 KiB - 1", false, []string{string(noise[:1<<16-1])}},
		{"64 KiB", false, []string{string(noise[:1<<16])}},
		{"after it", true, []string{long}},
	}
	for _, tt := range tests {
		cmd := command{Do: "send", Text: tt.text}
		for _, p := range tt.parts {
			cmd.Parts = append(cmd.Parts, []byte(p))
		}
		c.tell(t, cmd)
		want := bytes.Join(cmd.Parts, nil)
		if e := c.next(t, "message"); e.Text != tt.text || !bytes.Equal(e.Data, want) {
			t.Fatalf("%s: %d bytes %.60q came back, text %t; want %d bytes %.60q",
				tt.name, len(e.Data), e.Data, e.Text, len(want), want)
		}
	}
	// With context takeover each message refers to those before it.
	const many = 200
	line := func(i int) []byte {
		return fmt.Appendf(nil, "message %d, which is like message %d, %s %x", i, i-1, long, noise[i:i+i%50])
	}
	go func() {
		for i := range many {
			if err := c.do(command{Do: "send", Text: true, Parts: [][]byte{line(i)}}); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range many {
		if e := c.next(t, "message"); !e.Text || !bytes.Equal(e.Data, line(i)) {
			t.Fatalf("message %d is %.60q", i, e.Data)
		}
	}
}

// ending is a way to end a connection, and what both sides have to say then.
type ending struct {
	name   string
	end    func(t *testing.T, c connection)
	code   int
	reason string
	check  func(t *testing.T, cause error)
}

const farewell = "auf Wiederseh'n, 世界"

var endings = []ending{
	{"peer normally", func(t *testing.T, c connection) { c.tell(t, command{Do: "close", Code: 1000}) }, 1000, "", clean(1000, "")},
	{"peer 1001", func(t *testing.T, c connection) {
		c.tell(t, command{Do: "close", Code: 1001, Reason: farewell})
	}, 1001, farewell, clean(1001, farewell)},
	{"peer 3001", func(t *testing.T, c connection) {
		c.tell(t, command{Do: "close", Code: 3001, Reason: farewell})
	}, 3001, farewell, closed(3001, farewell)},
	{"peer 4999 with the longest reason", func(t *testing.T, c connection) {
		c.tell(t, command{Do: "close", Code: 4999, Reason: strings.Repeat("r", 123)})
	}, 4999, strings.Repeat("r", 123), closed(4999, strings.Repeat("r", 123))},
	{"getty", func(_ *testing.T, c connection) { _ = c.session.Close() }, 1000, "", is(nil)},
	{"getty 4000", func(_ *testing.T, c connection) {
		c.session.CloseWithCause(&getty.CloseError{Code: 4000, Reason: farewell})
	}, 4000, farewell, closed(4000, farewell)},
	{"getty for an error", func(_ *testing.T, c connection) { c.session.CloseWithCause(io.ErrNoProgress) }, 1011, "", is(io.ErrNoProgress)},
	{"too long", func(t *testing.T, c connection) {
		c.tell(t, command{Do: "send", Parts: [][]byte{append(noise, 0)}})
	}, 1009, "", is(getty.ErrMessageTooLong)},
	{"bomb", func(t *testing.T, c connection) {
		c.tell(t, command{Do: "send", Parts: [][]byte{make([]byte, 4<<20)}})
	}, 1009, "", is(getty.ErrMessageTooLong)},
}

// closed wants the CloseError.
func closed(code int, reason string) func(*testing.T, error) {
	return func(t *testing.T, cause error) {
		t.Helper()
		var ce *getty.CloseError
		if !errors.As(cause, &ce) || ce.Code != code || ce.Reason != reason {
			t.Errorf("the cause is %v, want %d %q", cause, code, reason)
		}
	}
}

// clean wants one that is an io.EOF too.
func clean(code int, reason string) func(*testing.T, error) {
	return func(t *testing.T, cause error) {
		t.Helper()
		closed(code, reason)(t, cause)
		if !errors.Is(cause, io.EOF) {
			t.Errorf("%v is no io.EOF", cause)
		}
	}
}

func is(want error) func(*testing.T, error) {
	return func(t *testing.T, cause error) {
		t.Helper()
		if !errors.Is(cause, want) {
			t.Errorf("the cause is %v, want %v", cause, want)
		}
	}
}
