// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
)

// Conns, listeners, packet sockets and errors may be the user's own, and called
// where no callback is running. What they do wrong must not end more than
// themselves.

// harmless returns err or, if that panics when it is looked at, as a nil pointer
// whose methods need more than that, a *PanicError in its place.
func harmless(err error) (same error) {
	if err == nil {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			value := fmt.Sprintf("panic in a method of an error of type %T", err) // which is not asked again
			if re, ok := r.(runtime.Error); ok {
				value += ": " + re.Error()
			}
			same = &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	_ = errors.Is(err, errNobodys)
	_, _ = errors.AsType[nobodys](err)
	if ne, ok := errors.AsType[net.Error](err); ok {
		_ = ne.Timeout()
		_ = ne.Temporary() //nolint:staticcheck // crypto/tls asks
	}
	return err
}

// foreign is deferred around a call of code that is not getty's and no callback:
// a panic becomes its error, and the error harmless.
func foreign(err *error) {
	if r := recover(); r != nil {
		*err = &PanicError{Value: r, Stack: debug.Stack()}
	}
	*err = harmless(*err)
}

// shut closes what may be somebody else's.
func shut(c io.Closer) (err error) {
	defer foreign(&err)
	return c.Close()
}

// calm keeps a panic in a log handler of the user's from ending the process.
type calm struct{ slog.Handler }

func (h calm) Handle(ctx context.Context, r slog.Record) error {
	defer func() { _ = recover() }() // there is no log to tell of it
	return h.Handler.Handle(ctx, r)
}

func (h calm) Enabled(ctx context.Context, level slog.Level) bool {
	defer func() { _ = recover() }()
	return h.Handler.Enabled(ctx, level)
}

// remoteOf is the address of a conn that may be somebody else's; nil if it has none.
func remoteOf(nc net.Conn) (addr net.Addr) {
	defer func() { _ = recover() }() // it has none then
	return nc.RemoteAddr()
}

func localOf(nc net.Conn) (addr net.Addr) {
	defer func() { _ = recover() }()
	return nc.LocalAddr()
}

// textOf is what an address says; "" if it does not.
func textOf(a net.Addr) (text string) {
	defer func() { _ = recover() }()
	return a.String()
}

// nobodys is in no tree of errors, so that all of one is searched for it. An Is
// may ask it what it says.
type nobodys struct{}

func (nobodys) Error() string { return "getty: nobody's error" }

var errNobodys error = nobodys{}

// possible makes an error of a number that a conn cannot have read or written.
func possible(n, most int, err error) (int, error) {
	if n < 0 || n > most {
		return 0, fmt.Errorf("getty: a conn reports %d bytes, want at most %d", n, most)
	}
	return n, err
}
