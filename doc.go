// SPDX-License-Identifier: Apache-2.0

// Package getty is a framed, callback-driven network library. The user brings a
// Codec, which turns bytes into messages and back, and an EventListener, which
// is told of them; getty brings servers, pooled clients that reconnect lazily,
// and sessions that behave alike over TCP, TLS, Unix sockets, UDP,
// WebSocket and WSS.
//
//	in :  listen.go | dial.go → conn_*.go → read.go → dispatch.go (Decode) → EventListener
//	out:  Session.Send (Append) → write.go → bounded buffer → one write → conn_*.go → wire
//
//	          Server[M]            Client[M] ── pool.go, reconnect.go
//	              │ shutdown.go         │
//	              └──── endpoint.go ────┘ who may enter: guard.go, admission.go, access.go
//	                       │ open.go: handshake (preface.go), Configure, OnOpen
//	                  Session[M] ── messages: session.go, send.go, dispatch.go
//	                       │ embeds
//	                     core ───── bytes: read.go, write.go, flusher.go, drain.go, room.go, timers.go, rate.go, close.go
//	                       │
//	                     conn ───── the one seam to a transport: conn_raw.go, conn_portable.go, conn_tls.go,
//	                       │        conn_compress.go, udp_peer.go, udp_client.go
//	                    framing ─── for transports with boundaries of their own: ws_read.go, ws_write.go, udp_framing.go
//
// A session has one goroutine, its reader. It waits on the runtime's poller with
// no buffer held, reads what has arrived, and calls OnMessage for each whole
// message. There is no goroutine for writing: a sender writes what the kernel
// takes at once, and a temporary drainer writes the rest. A UDP server has one
// goroutine per socket besides, which sorts packets. Clients have one more
// goroutine while, and only while, sessions of their pool are missing.
//
// The guarantees that all of this keeps are in docs/lifecycle.md; those that
// concern one call stand with it. In short: callbacks of a session come in order
// and OnClose comes last, exactly once; any method of a session may be called
// from anywhere at any time; memory per session is bounded in both directions;
// nothing that a peer sends and nothing that a callback does can end another
// session.
package getty
