// SPDX-License-Identifier: Apache-2.0

// Package examples has small programs that use getty: echo-tcp, echo-udp, echo-ws, echo-wss and heartbeat. Each is a
// server, and with -dial the client for it:
//
//	go run ./examples/echo-tcp
//	go run ./examples/echo-tcp -dial tcp://localhost:9000
package examples
