// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"slices"
	"strings"
)

// cell is one case of the matrix.
type cell struct{ transport, fault, side, moment string }

func (c cell) String() string {
	return strings.ReplaceAll(strings.Join([]string{c.transport, c.fault, c.side, c.moment}, "/"), " ", "-")
}

const udp = "udp"

var (
	transports = []string{"tcp", "tls", "unix", udp, "ws", "wss"}
	sides      = []string{"server", "client"}
	moments    = []string{beforeOpen, midFrame, between, full, closing}
)

// The moments at which a fault happens.
const (
	beforeOpen = "before open"
	midFrame   = "mid-frame"
	between    = "between frames"
	full       = "peer's buffer full"
	closing    = "during close"
)

// The faults.
const (
	reset       = "reset"
	halfClose   = "half-close"
	silent      = "silent partition"
	oneWay      = "one-way partition"
	latency     = "latency and jitter"
	oneByte     = "one byte at a time"
	reorder     = "reordering, loss and copies"
	killed      = "process killed"
	stopped     = "process stopped"
	clockJump   = "clock jump"
	noFiles     = "EMFILE"
	noBuffers   = "ENOBUFS"
	panics      = "callback panics"
	blocks      = "callback blocks"
	closesOwn   = "callback closes its own session"
	closesOther = "callback closes other sessions"
	usesNone    = "codec uses 0 bytes"
	usesMore    = "codec uses more than it has"
	wantsMore   = "codec never has enough"
)

// faults has the guarantee that covers each of them: a number is that of a
// paragraph of docs/lifecycle.md.
var faults = []struct{ name, guarantee string }{
	{reset, "Causes: ECONNRESET or EPIPE, or EOF where the kernel has told a write of it, and on unix; 2: what was accepted and lost is told by OnClose"},
	{halfClose, "2: EOF is not Close: between frames, all that was sent in front of it is handled and answered; inside a frame it is io.ErrUnexpectedEOF"},
	{silent, "Keepalive, MessageTimeout or WriteTimeout end it on both sides; before open an attempt or its session ends within the same time; 7: the pool recovers"},
	{oneWay, "The same limits end it where nothing arrives; on the other side the end of the conn does, or on udp and under a big write a limit"},
	{latency, "1: order, of a stream; nothing is lost but what a full queue of udp counts (v)"},
	{oneByte, "1: order; 6: progress is not idleness (v, mid-frame)"},
	{reorder, "Messages arrive whole, none more often than its packet, and all whose packets arrive but for those that a full queue counts (v)"},
	{killed, "Causes: EOF, a reset or, on udp, the keepalive; 7: the pool recovers"},
	{stopped, "SIGSTOP for longer than every limit, as a paused machine, then SIGCONT: a limit ends it on the other side; the books stay equal"},
	{clockJump, "Limits of time are kept by the monotonic clock: no session ends of it, and what is silent is found in time"},
	{noFiles, "Accepting and dialing are tried again; open sessions go on"},
	{noBuffers, "A stream ends with the error, an accept or dial is tried again; on udp it is that of a Send, or counted, and the session goes on"},
	{panics, "4: it ends that session only, others exchange messages before and after"},
	{blocks, "1: other sessions exchange messages meanwhile; 6: it takes longer than IdleTimeout and the keepalive, and the session goes on"},
	{closesOwn, "2: Close may be called from anywhere; others exchange messages before and after"},
	{closesOther, "2: Close may be called from anywhere; the session of the callback goes on"},
	{usesNone, "4: it ends that session only, on udp it spoils that packet only; 5: no more is kept than a message and a batch of reads"},
	{usesMore, "4: it ends that session only, on udp it spoils that packet only; 5: no more is kept than a message and a batch of reads"},
	{wantsMore, "4: it ends that session only, on udp it spoils that packet only; 5: no more is kept than a message and a batch of reads"},
}

// The layers in which cells run, and the letters for them on the page.
const (
	inVirtual   = "v"
	inSockets   = "s"
	inToxiproxy = "t"
	inProcesses = "p"
	inClock     = "c"
	inSpaces    = "n"
	inNetem     = "e"
	inIptables  = "i"
)

var (
	wireFaults  = []string{reset, halfClose, silent, oneWay}
	slowFaults  = []string{latency, oneByte, reorder}
	childFaults = []string{killed, stopped, noFiles}
	callFaults  = []string{panics, blocks, closesOwn, closesOther}
	codecFaults = []string{usesNone, usesMore, wantsMore}
)

func (c cell) is(fs []string) bool { return slices.Contains(fs, c.fault) }

func (c cell) webSocket() bool { return c.transport == "ws" || c.transport == "wss" }
func (c cell) secure() bool    { return c.transport == "tls" || c.transport == "wss" }

// missing says why a cell does not apply; "": it does.
func (c cell) missing() string {
	if why := c.missingUDP(); c.transport == udp && why != "" {
		return why
	}
	switch {
	case c.fault == reorder && c.transport != udp:
		return "a stream is in order"
	case c.fault == noFiles && c.moment != beforeOpen && c.moment != between:
		return "takes no descriptor"
	case c.is(codecFaults) && c.moment == beforeOpen && c.transport != udp:
		return "nothing is decoded yet"
	}
	return ""
}

func (c cell) missingUDP() string {
	switch {
	case c.fault == reset:
		return "no connection"
	case c.fault == halfClose, c.fault == oneByte:
		return "no stream"
	case c.moment == midFrame:
		return "a packet is whole"
	case c.fault == noFiles && c.side == "server" && c.moment == beforeOpen:
		return "one socket serves all"
	case c.fault == noBuffers && c.moment == beforeOpen:
		return "opens without sending"
	case c.fault == noBuffers && c.moment == closing:
		return "nothing is left to flush"
	case c.is(codecFaults) && c.moment == beforeOpen && c.side == "client":
		return "nothing is decoded yet"
	}
	return ""
}

// layers says where a cell runs.
func (c cell) layers() []string {
	if c.missing() != "" {
		return nil
	}
	if c.is(childFaults) {
		return []string{inProcesses}
	}
	if c.fault == clockJump {
		return []string{inClock}
	}
	var ls []string
	overTCP := c.transport != "unix" && c.transport != udp
	if c.transport != "unix" { // in memory that would be tcp again
		ls = append(ls, inVirtual)
	}
	if c.fault != noBuffers || !overTCP {
		ls = append(ls, inSockets)
	}
	switch {
	case !overTCP, c.fault == halfClose: // toxiproxy has none
	case c.fault == reset && c.moment != beforeOpen: // it has to be told before
	case c.moment == closing: // without a half-close it resets
	case c.moment == full && c.fault != latency: // it cannot be told while it waits
	case c.is(wireFaults), c.is(slowFaults):
		ls = append(ls, inToxiproxy)
	}
	if c.transport != "unix" {
		ls = append(ls, c.spaces()...)
	}
	return ls
}

// spaces are the layers with network namespaces.
func (c cell) spaces() []string {
	switch c.fault {
	case silent, oneWay:
		if c.moment == between {
			return []string{inSpaces, inIptables}
		}
		return []string{inSpaces}
	case latency:
		if c.transport == udp {
			return []string{inNetem}
		}
		return []string{inNetem, inIptables}
	case reorder:
		return []string{inNetem, inIptables}
	}
	return nil
}

// cells are all that there are.
func cells() []cell {
	var all []cell
	for _, tr := range transports {
		for _, f := range faults {
			for _, s := range sides {
				for _, m := range moments {
					all = append(all, cell{tr, f.name, s, m})
				}
			}
		}
	}
	return all
}

// cellsIn are those that run in a layer.
func cellsIn(layer string) []cell {
	return slices.DeleteFunc(cells(), func(c cell) bool { return !slices.Contains(c.layers(), layer) })
}
