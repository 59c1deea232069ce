// SPDX-License-Identifier: Apache-2.0

// Package getty has the API of github.com/apache/dubbo-getty v1.5.0 on the
// engine of github.com/getty-net/getty. A program moves by two lines of its
// go.mod and no line of its code:
//
//	replace github.com/apache/dubbo-getty => <checkout>/compat/dubbogetty
//	replace github.com/getty-net/getty => <checkout>
//
// The second is needed as long as getty is not published, since Go heeds the
// replace directives of the main module only.
//
// What users of the original rely on is kept, what was a defect is cured;
// docs/migrating.md says which is which, row by row. The few choices that there
// are beyond the original's API stand in the package dropin, so that the API
// here is the original's exactly.
//
// A session of the original is one of the engine's, with this package between
// its codec and listener (events.go) and the user's. The exception is the one
// session of NewUDPEndPoint, which is a socket (udp.go).
package getty
