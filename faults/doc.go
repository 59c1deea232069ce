// SPDX-License-Identifier: Apache-2.0

// Package faults has no code, only tests: every transport of getty against
// everything that goes wrong between two sides, and inside one of them. What
// must hold in each case, and whether it did, is docs/faults.md, which the tests
// write: go test -timeout 10m -args -write.
//
//	cells ──→ bed: a server and a client, their books ──→ the page
//	           └── road: gettytest or packets in virtual time, a relay of our own,
//	                     toxiproxy, processes, network namespaces
//
// Both sides number what they send and acknowledge what they get. At the end of
// every case the books are compared: each message was delivered once, or its
// sender was told, by an error from Send or by OnClose. On udp, where nothing
// tells, an acknowledgement that never came counts as told.
//
// Random choices come from a seed, which a failure prints. GETTY_FAULTS_SEED
// replays it.
package faults
