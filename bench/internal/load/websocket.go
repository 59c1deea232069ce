// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
)

// The handshake of RFC 6455 with the key of its example, and what a server must accept that with.
const (
	wsRequest = "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
	wsAccept  = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	wsDeflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
)

// upgrade makes a WebSocket of a connection.
func (c *conn) upgrade(nc net.Conn, cfg Config) error {
	if c.tls != nil {
		nc = c.tls
	}
	var extensions string
	if cfg.Deflate {
		extensions = "Sec-WebSocket-Extensions: " + wsDeflate + "\r\n"
	}
	if _, err := fmt.Fprintf(nc, wsRequest, cfg.Addr, extensions); err != nil {
		return err
	}
	// Nothing comes behind the answer: the server has not been sent a message yet.
	var head []byte
	for buf := make([]byte, 4096); !bytes.HasSuffix(head, []byte("\r\n\r\n")); {
		n, err := nc.Read(buf)
		if head = append(head, buf[:n]...); err != nil {
			return fmt.Errorf("%w after %q", errors.Join(err, io.ErrUnexpectedEOF), head)
		}
	}
	switch {
	case !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.Contains(head, []byte(wsAccept)):
		return fmt.Errorf("refused: %q", head)
	case bytes.Contains(head, []byte("permessage-deflate")) != cfg.Deflate:
		return fmt.Errorf("compression is not as asked for: %q", head)
	}
	return nil
}
