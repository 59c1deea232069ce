// SPDX-License-Identifier: Apache-2.0

//go:build !linux || (!amd64 && !arm64) || getty_portable

package getty

import "net"

// rawDest is for systems with calls of their own.
type rawDest struct{} //nolint:unused // a field's

// newServerIO and newClientIO stand on package net here. slow: writing may wait
// for long.
func newServerIO(ep *endpoint, pc net.PacketConn) (io packetIO, slow bool) {
	return newPortableServer(ep, pc)
}

func newClientIO(ep *endpoint, nc net.Conn) (io packetIO, slow bool) {
	return newPortableClient(ep, nc)
}
