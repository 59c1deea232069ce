// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

func TestCoder(t *testing.T) { runSuite(t, coder{}) }

// coder is github.com/coder/websocket. It has context takeover.
type coder struct{}

func (coder) mode(o setting) websocket.CompressionMode {
	switch {
	case o.takeover:
		return websocket.CompressionContextTakeover
	case o.deflate:
		return websocket.CompressionNoContextTakeover
	}
	return websocket.CompressionDisabled
}

func (p coder) dial(t *testing.T, url string, o setting) remote {
	tr := &http.Transport{TLSClientConfig: clientTLS(t)}
	t.Cleanup(tr.CloseIdleConnections)
	conn, _, err := websocket.Dial(within(t), url, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: tr}, Subprotocols: offered, CompressionMode: p.mode(o), CompressionThreshold: 1,
	})
	must(t, err)
	return p.remote(t, conn, nil)
}

func (p coder) listen(t *testing.T, o setting) remote {
	return listenHTTP(t, o, func(w http.ResponseWriter, r *http.Request, events chan event) remote {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
			Subprotocols: offered, CompressionMode: p.mode(o), CompressionThreshold: 1,
		})
		if err != nil {
			t.Error(err)
			return remote{}
		}
		return p.remote(t, conn, events)
	})
}

// remote runs the reading of a connection.
func (coder) remote(t *testing.T, conn *websocket.Conn, events chan event) remote {
	if events == nil {
		events = make(chan event, 1000)
	}
	events <- event{Event: "open", Protocol: conn.Subprotocol()}
	conn.SetReadLimit(-1)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var once sync.Once
	closed := func(code websocket.StatusCode, reason string) {
		once.Do(func() { events <- event{Event: "close", Code: int(code), Reason: reason} })
	}
	running.Go(func() {
		for {
			kind, data, err := conn.Read(ctx)
			var ce websocket.CloseError
			switch {
			case errors.As(err, &ce):
				closed(ce.Code, ce.Reason)
				return
			case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
				return // by the test, or Close knows more
			case err != nil:
				closed(websocket.StatusAbnormalClosure, err.Error())
				return
			}
			events <- event{Event: "message", Text: kind == websocket.MessageText, Data: data}
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = conn.CloseNow()
		running.Wait()
	})
	return remote{events: events, do: func(c command) error {
		switch c.Do {
		case "ping":
			running.Go(func() {
				if conn.Ping(ctx) == nil {
					events <- event{Event: "pong"}
				}
			})
			return nil
		case "close":
			running.Go(func() {
				// Either Read or Close sees the answer. Close wants the same code.
				if conn.Close(websocket.StatusCode(c.Code), c.Reason) == nil {
					closed(websocket.StatusCode(c.Code), c.Reason)
				}
			})
			return nil
		}
		kind := websocket.MessageBinary
		if c.Text {
			kind = websocket.MessageText
		}
		w, err := conn.Writer(ctx, kind)
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
