// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestGorilla(t *testing.T) { runSuite(t, gorilla{}) }

// gorilla is github.com/gorilla/websocket. It has no context takeover, and does
// without where getty would like it.
type gorilla struct{}

// writeBuffer is where gorilla cuts messages into frames.
func (gorilla) writeBuffer(o setting) int {
	if o.fragment {
		return 300
	}
	return 2 << 20
}

func (g gorilla) dial(t *testing.T, url string, o setting) remote {
	d := websocket.Dialer{
		TLSClientConfig: clientTLS(t), EnableCompression: o.deflate, WriteBufferSize: g.writeBuffer(o), Subprotocols: offered,
	}
	conn, resp, err := d.DialContext(within(t), url, nil)
	must(t, err)
	_ = resp.Body.Close()
	return g.remote(t, conn, nil)
}

func (g gorilla) listen(t *testing.T, o setting) remote {
	u := websocket.Upgrader{EnableCompression: o.deflate, WriteBufferSize: g.writeBuffer(o), Subprotocols: offered}
	return listenHTTP(t, o, func(w http.ResponseWriter, r *http.Request, events chan event) remote {
		conn, err := u.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return remote{}
		}
		return g.remote(t, conn, events)
	})
}

// listenHTTP serves one connection of a peer that is a http.Handler.
func listenHTTP(t *testing.T, o setting, accept func(http.ResponseWriter, *http.Request, chan event) remote) remote {
	events, accepted := make(chan event, 1000), make(chan remote, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		accepted <- accept(w, r, events)
	}))
	if o.tls {
		srv.TLS = serverTLS(t)
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	events <- event{Event: "listening", URL: "ws" + strings.TrimPrefix(srv.URL, "http") + path}
	do := sync.OnceValue(func() func(command) error { return receive(t, accepted, "connection").do })
	return remote{do: func(c command) error { return do()(c) }, events: events}
}

// remote runs the reading of a connection.
func (gorilla) remote(t *testing.T, conn *websocket.Conn, events chan event) remote {
	if events == nil {
		events = make(chan event, 1000)
	}
	events <- event{Event: "open", Protocol: conn.Subprotocol()}
	conn.SetPongHandler(func(data string) error {
		events <- event{Event: "pong", Data: []byte(data)}
		return nil
	})
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(events)
		defer conn.Close()
		for {
			kind, data, err := conn.ReadMessage()
			var ce *websocket.CloseError
			switch {
			case errors.As(err, &ce):
				events <- event{Event: "close", Code: ce.Code, Reason: ce.Text}
				return
			case errors.Is(err, net.ErrClosed):
				return // by the test
			case err != nil:
				events <- event{Event: "close", Code: websocket.CloseAbnormalClosure, Reason: err.Error()}
				return
			}
			events <- event{Event: "message", Text: kind == websocket.TextMessage, Data: data}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		reader.Wait()
	})
	return remote{events: events, do: func(c command) error {
		deadline := time.Now().Add(limit)
		switch c.Do {
		case "ping":
			return conn.WriteControl(websocket.PingMessage, []byte("?"), deadline)
		case "close":
			return conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(c.Code, c.Reason), deadline)
		}
		kind := websocket.BinaryMessage
		if c.Text {
			kind = websocket.TextMessage
		}
		w, err := conn.NextWriter(kind)
		if err != nil {
			return err
		}
		for _, p := range c.Parts {
			if _, err := w.Write(p); err != nil {
				return err
			}
		}
		return w.Close()
	}}
}
