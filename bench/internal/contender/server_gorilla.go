// SPDX-License-Identifier: Apache-2.0

//go:build !single || gorilla

package contender

import (
	"bytes"
	"net"
	"net/http"

	"github.com/gorilla/websocket"
)

func init() { enterWebSocket("gorilla", serveGorilla) }

func serveGorilla(l net.Listener, opts Options) error {
	u := websocket.Upgrader{EnableCompression: opts.Deflate}
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		// The request and what net/http holds for it would live as long as the handler.
		go func() {
			defer c.Close()
			_ = echoGorilla(c)
		}()
	})
}

// echoGorilla reads into a buffer that it uses again, where ReadMessage would make one for each message.
func echoGorilla(c *websocket.Conn) error {
	for {
		kind, r, err := c.NextReader()
		if err != nil {
			return err
		}
		buf := readers.Get().(*bytes.Buffer)
		buf.Reset()
		if _, err = buf.ReadFrom(r); err == nil {
			err = c.WriteMessage(kind, buf.Bytes())
		}
		readers.Put(buf)
		if err != nil {
			return err
		}
	}
}
