// SPDX-License-Identifier: Apache-2.0

package getty

// state is where a session is in its life. It only ever grows:
//
//	new ──→ open ──→ muted ──→ draining ──→ closed
//	 │        └────────────────↗  │           ↑
//	 └────────┴─────────┴─────────┴───────────┘
//
// Each transition happens under the session's lock; reads are atomic, since the
// state is looked at before each read and each message.
type state uint32

const (
	// stateNew: the handshake and Configure; nothing is sent or read.
	stateNew state = iota
	// stateOpen: from just before OnOpen on.
	stateOpen
	// stateMuted: a write has failed, so nothing can be sent any more. What the
	// peer had sent before is still delivered, then the session ends.
	stateMuted
	// stateDraining: closing was asked for. Nothing more is delivered or
	// accepted; what was accepted is being flushed, input is discarded.
	stateDraining
	// stateClosed: the conn is closed or being closed. It is a terminal state.
	stateClosed
)

// String returns "new", "open", "muted", "draining" or "closed".
func (s state) String() string {
	switch s {
	case stateNew:
		return "new"
	case stateOpen:
		return "open"
	case stateMuted:
		return "muted"
	case stateDraining:
		return "draining"
	case stateClosed:
		return "closed"
	}
	return "invalid"
}

// phase is what callback of a session is running, for Shutdown's error and for
// timers that must not count a handler's time as the peer's silence.
type phase uint32

const (
	phaseNone phase = iota
	phaseConfigure
	phaseOpen
	phaseMessage
	phaseClose
	phaseThrottled // no callback: Limits.Throttle has the session wait
)

// callback reports whether the session waits for the user's code.
func (p phase) callback() bool { return p != phaseNone && p != phaseThrottled }

// String names the callback.
func (p phase) String() string {
	switch p {
	case phaseNone:
		return "none"
	case phaseConfigure:
		return "Configure"
	case phaseOpen:
		return "OnOpen"
	case phaseMessage:
		return "OnMessage"
	case phaseClose:
		return "OnClose"
	case phaseThrottled:
		return "Limits.Throttle"
	}
	return "invalid"
}
