// SPDX-License-Identifier: Apache-2.0

//go:build !single || gws

package contender

import (
	"net"

	"github.com/lxzan/gws"
)

func init() { enterWebSocket("gws", serveGws) }

func serveGws(l net.Listener, opts Options) error {
	var option gws.ServerOption
	option.PermessageDeflate.Enabled = opts.Deflate
	option.Logger = silentGws{}
	return gws.NewServer(gwsEcho{}, &option).RunListener(l)
}

type gwsEcho struct{ gws.BuiltinEventHandler }

// OnMessage hands the message's buffer back with Close.
func (gwsEcho) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	_ = c.WriteMessage(m.Opcode, m.Bytes())
}

type silentGws struct{}

func (silentGws) Error(...any) {}
