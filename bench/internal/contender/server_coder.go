// SPDX-License-Identifier: Apache-2.0

//go:build !single || coder

package contender

import (
	"bytes"
	"context"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

func init() { enterWebSocket("coder", serveCoder) }

func serveCoder(l net.Listener, opts Options) error {
	accept := &websocket.AcceptOptions{}
	if opts.Deflate {
		accept.CompressionMode = websocket.CompressionNoContextTakeover
	}
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, accept)
		if err != nil {
			return
		}
		// The request and what net/http holds for it would live as long as the handler.
		go func() {
			defer func() { _ = c.CloseNow() }()
			c.SetReadLimit(maxBody)
			_ = echoCoder(c)
		}()
	})
}

// echoCoder reads into a buffer that it uses again, where Read would make one for each message. The context without
// an end is the cheapest one.
func echoCoder(c *websocket.Conn) error {
	ctx := context.Background()
	for {
		kind, r, err := c.Reader(ctx)
		if err != nil {
			return err
		}
		buf := readers.Get().(*bytes.Buffer)
		buf.Reset()
		if _, err = buf.ReadFrom(r); err == nil {
			err = c.Write(ctx, kind, buf.Bytes())
		}
		readers.Put(buf)
		if err != nil {
			return err
		}
	}
}
