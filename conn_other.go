// SPDX-License-Identifier: Apache-2.0

//go:build !unix || getty_portable

package getty

import "net"

// newStreamConn takes the portable path for every stream: on systems without
// non-blocking descriptors, and where the build tag getty_portable forces it.
func newStreamConn(nc net.Conn) conn { return &portableConn{nc: nc} }
