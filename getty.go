// SPDX-License-Identifier: Apache-2.0

package getty

// Codec turns bytes into messages of type M and back. One codec value usually
// serves all sessions of an endpoint at once, so it should be stateless; a
// codec with state per session is given to that session by Configure.
//
// A codec may also have a method Validate() error: it is called once by the
// constructor that receives the codec, and its error is returned from there.
type Codec[M any] interface {
	// Decode takes the first message out of data, which is never longer than
	// the maximal message size.
	//
	//   n == 0:         more bytes are needed, how many is not known yet.
	//   n > len(data):  at least n bytes are needed for this message.
	//   otherwise:      msg is the message that the first n bytes hold.
	//
	// An error ends the session. msg may alias data: it stays valid until
	// OnMessage for it has returned. Decode is called by one goroutine at a
	// time for each session.
	Decode(data []byte) (msg M, n int, err error)

	// Append encodes msg behind dst and returns the longer slice. After an
	// error or a panic nothing of msg is sent and the session goes on. Append
	// is never called concurrently for one session, must not keep dst, and must
	// not call methods of the session: it runs under the session's lock.
	Append(dst []byte, msg M) ([]byte, error)
}

// EmptyDecoder is a Codec to which an empty WebSocket message or UDP packet is a
// message, such as codec.Raw. For other codecs these hold none.
type EmptyDecoder[M any] interface {
	Codec[M]
	// DecodeEmpty gives the message that 0 bytes are. errors.ErrUnsupported: they
	// hold none after all.
	DecodeEmpty() (msg M, err error)
}

// EventListener receives the events of sessions, each session's in order:
// OnOpen, then any number of OnMessage and OnCron, then OnClose. Callbacks of
// different sessions run concurrently. A callback may call every method of
// every session; it must not wait for another message of its own session,
// which is not read until the callback has returned.
//
// A panic or a runtime.Goexit in a callback ends that session alone, with a
// *PanicError or ErrGoexit as the cause.
type EventListener[M any] interface {
	// OnOpen runs before any message is read; Send works already. An error, or
	// Close from within, ends the session: no OnMessage comes, OnClose does.
	OnOpen(s *Session[M]) error

	// OnMessage runs for each message in the order of the wire, never
	// concurrently for one session. msg may alias memory that is reused after
	// the return. An error closes the session with that error as the cause,
	// after what was sent before has been flushed.
	OnMessage(s *Session[M], msg M) error

	// OnCron runs every CronPeriod on a goroutine of its own. It may overlap
	// OnMessage, never itself, OnOpen or OnClose.
	OnCron(s *Session[M])

	// OnClose is the last callback of a listener. It runs exactly once for each session whose
	// OnOpen was called, when the socket is closed already. See Session.Close
	// and the Err variables for the causes; nil means that Close was called
	// on this side.
	OnClose(s *Session[M], cause error)
}

// NopEvents is an EventListener that ignores every event. Embed it to write
// only the callbacks that you need.
type NopEvents[M any] struct{}

// OnOpen accepts the session.
func (NopEvents[M]) OnOpen(*Session[M]) error { return nil }

// OnMessage ignores the message.
func (NopEvents[M]) OnMessage(*Session[M], M) error { return nil }

// OnCron does nothing.
func (NopEvents[M]) OnCron(*Session[M]) {}

// OnClose does nothing.
func (NopEvents[M]) OnClose(*Session[M], error) {}

// EventFuncs is an EventListener made of functions; a nil one ignores its event.
type EventFuncs[M any] struct {
	Open    func(s *Session[M]) error
	Message func(s *Session[M], msg M) error
	Cron    func(s *Session[M])
	Close   func(s *Session[M], cause error)
}

// OnOpen calls Open.
func (f EventFuncs[M]) OnOpen(s *Session[M]) error {
	if f.Open == nil {
		return nil
	}
	return f.Open(s)
}

// OnMessage calls Message.
func (f EventFuncs[M]) OnMessage(s *Session[M], msg M) error {
	if f.Message == nil {
		return nil
	}
	return f.Message(s, msg)
}

// OnCron calls Cron.
func (f EventFuncs[M]) OnCron(s *Session[M]) {
	if f.Cron != nil {
		f.Cron(s)
	}
}

// OnClose calls Close.
func (f EventFuncs[M]) OnClose(s *Session[M], cause error) {
	if f.Close != nil {
		f.Close(s, cause)
	}
}

// Executor runs tasks on goroutines of its own. *ants.Pool of
// github.com/panjf2000/ants is one. Submit should block while every worker is
// busy; an error from it ends the session whose messages were refused.
type Executor interface {
	// Submit has task run, once, or returns an error without running it.
	Submit(task func()) error
}
