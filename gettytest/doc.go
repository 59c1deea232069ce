// SPDX-License-Identifier: Apache-2.0

// Package gettytest tests programs that use getty, without sockets: networks
// in memory with faults on demand, pairs of a server and a client over them,
// and a Recorder of what their sessions went through.
//
//	Faults ──→ Network ──→ Listen, Dial ──→ Conn      the bytes
//	              └──→ NewPair ──→ Server, Client     the messages
//	                                  └──→ Recorder   what happened
//
// # Virtual time
//
// Everything here works inside a bubble of testing/synctest: whatever waits
// blocks durably, no goroutine runs in the background, and all timers are made
// by the call that waits. There a latency of an hour costs nothing, and
// synctest.Wait returns when every byte has arrived that can arrive now:
//
//	func TestPartition(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			events := new(gettytest.Recorder[string])
//			p := gettytest.NewPair(t, codec.Line{}, events, getty.NopEvents[string]{}, gettytest.Options{
//				Config: getty.Config{IdleTimeout: time.Minute},
//			})
//			p.Network.Partition(gettytest.BothWays)
//			if err := events.WaitClosed(t.Context()); err != nil { // in a minute, at once
//				t.Fatal(err)
//			}
//		})
//	}
//
// A network and what is connected over it belong to the bubble that they are
// used in. Without a bubble all of it works in real time.
//
// # How true to TCP it is
//
// Streams keep their order and lose nothing but by a reset. Modelled are the
// half-close, a full buffer that stops the writer, the reset that a close with
// unread input causes, and the one that bytes cause which arrive at a closed
// end; a reset loses what the peer has not read yet. Not modelled are
// acknowledgements: room in the buffer is known to the writer as soon as the
// peer has read, whatever the latency and partitions. And where TCP lets the
// first write to a closed peer succeed, here it fails once the close is known.
package gettytest
