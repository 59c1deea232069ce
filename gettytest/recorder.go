// SPDX-License-Identifier: Apache-2.0

package gettytest

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/getty-net/getty"
)

// Recorder is a getty.EventListener that records every event of all sessions
// that it is given to, in order, and lets tests wait for them (wait.go). The
// zero value is ready for use. Its methods may be called from any goroutine,
// also in callbacks. It must not be copied.
type Recorder[M any] struct {
	// Clone copies messages, which may be gone after OnMessage has returned.
	// Set it before the first use. nil: strings, numbers, booleans and byte
	// slices are copied by themselves; of others only Event.Text remains and
	// Event.Message is zero.
	Clone func(msg M) M

	// The hooks, set before the first use, are called with the event that has
	// just been recorded; nil does nothing. Their errors, panics and waiting
	// are the callback's.
	OnOpenFunc    func(s *getty.Session[M]) error
	OnMessageFunc func(s *getty.Session[M], msg M) error
	OnCronFunc    func(s *getty.Session[M])
	OnCloseFunc   func(s *getty.Session[M], cause error)

	mu     sync.Mutex
	cond   sync.Cond
	events []Event[M]
}

// EventKind is which callback an Event was.
type EventKind uint8

// The kinds of events.
const (
	Opened EventKind = iota
	Message
	Cron
	Closed
)

// String returns "open", "message", "cron" or "close".
func (k EventKind) String() string {
	if int(k) >= len(eventNames) {
		return "invalid"
	}
	return eventNames[k]
}

var eventNames = [...]string{"open", "message", "cron", "close"}

// Event is one recorded callback.
type Event[M any] struct {
	Kind    EventKind
	Session *getty.Session[M]
	Message M      // a copy, as far as Recorder.Clone goes
	Text    string // the message formatted by %v, bytes by %s
	Cause   error  // of Closed
}

// String is a short form of the event, without its session: "open",
// "message hello", "cron", "close: EOF", and "close" without a cause.
func (e Event[M]) String() string {
	switch {
	case e.Kind == Message:
		return "message " + e.Text
	case e.Kind == Closed && e.Cause != nil:
		return "close: " + e.Cause.Error()
	}
	return e.Kind.String()
}

// OnOpen records an Opened event and calls OnOpenFunc.
func (r *Recorder[M]) OnOpen(s *getty.Session[M]) error {
	r.record(Event[M]{Kind: Opened, Session: s})
	if r.OnOpenFunc == nil {
		return nil
	}
	return r.OnOpenFunc(s)
}

// OnMessage records a copy of msg and calls OnMessageFunc.
func (r *Recorder[M]) OnMessage(s *getty.Session[M], msg M) error {
	r.record(Event[M]{Kind: Message, Session: s, Message: r.clone(msg), Text: text(msg)})
	if r.OnMessageFunc == nil {
		return nil
	}
	return r.OnMessageFunc(s, msg)
}

// OnCron records a Cron event and calls OnCronFunc.
func (r *Recorder[M]) OnCron(s *getty.Session[M]) {
	r.record(Event[M]{Kind: Cron, Session: s})
	if r.OnCronFunc != nil {
		r.OnCronFunc(s)
	}
}

// OnClose records a Closed event and calls OnCloseFunc.
func (r *Recorder[M]) OnClose(s *getty.Session[M], cause error) {
	r.record(Event[M]{Kind: Closed, Session: s, Cause: cause})
	if r.OnCloseFunc != nil {
		r.OnCloseFunc(s, cause)
	}
}

func (r *Recorder[M]) record(e Event[M]) {
	r.lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	r.cond.Broadcast()
}

// lock locks mu and completes the zero value.
func (r *Recorder[M]) lock() {
	r.mu.Lock()
	if r.cond.L == nil { // once: Wait reads it without mu
		r.cond.L = &r.mu
	}
}

func (r *Recorder[M]) clone(msg M) (copied M) {
	if r.Clone != nil {
		return r.Clone(msg)
	}
	v := reflect.ValueOf(msg)
	switch k := v.Kind(); {
	case isBytes(v):
		return reflect.ValueOf(bytes.Clone(v.Bytes())).Convert(v.Type()).Interface().(M)
	case k == reflect.String, reflect.Bool <= k && k <= reflect.Complex128:
		return msg
	}
	return copied
}

func text(msg any) string {
	if isBytes(reflect.ValueOf(msg)) {
		return fmt.Sprintf("%s", msg)
	}
	return fmt.Sprint(msg)
}

func isBytes(v reflect.Value) bool {
	return v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8
}

// Events returns what was recorded so far.
func (r *Recorder[M]) Events() []Event[M] {
	r.lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Messages returns Event.Message of the messages so far.
func (r *Recorder[M]) Messages() []M {
	return collect(r, Message, func(e *Event[M]) M { return e.Message })
}

// Texts returns Event.Text of the messages so far.
func (r *Recorder[M]) Texts() []string {
	return collect(r, Message, func(e *Event[M]) string { return e.Text })
}

// Sessions returns the sessions that were opened so far, also closed ones.
func (r *Recorder[M]) Sessions() []*getty.Session[M] {
	return collect(r, Opened, func(e *Event[M]) *getty.Session[M] { return e.Session })
}

// Causes returns the causes of the sessions that were closed so far.
func (r *Recorder[M]) Causes() []error {
	return collect(r, Closed, func(e *Event[M]) error { return e.Cause })
}

// collect returns a part of each event of one kind.
func collect[M, T any](r *Recorder[M], k EventKind, part func(e *Event[M]) T) []T {
	r.lock()
	defer r.mu.Unlock()
	var parts []T
	for i := range r.events {
		if e := &r.events[i]; e.Kind == k {
			parts = append(parts, part(e))
		}
	}
	return parts
}
