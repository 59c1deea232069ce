// SPDX-License-Identifier: Apache-2.0

// Package interop has no code, only tests: getty's WebSocket against peers that
// share no code with it, each as the client and as the server. They are
// gorilla/websocket, coder/websocket, Python's websockets, ws for Node.js and
// Chromium; gorilla and gobwas/ws also read along with the fuzzed frame parser.
//
// The programs come from scripts/packages.sh, and ws from npm. A test whose
// peer is missing fails; go test -short leaves out those that need a program.
package interop
