// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Close codes of RFC 6455, section 7.4.1, and the IANA registry.
const (
	CloseNormal          = 1000
	CloseGoingAway       = 1001
	CloseProtocolError   = 1002
	CloseUnsupportedData = 1003
	CloseNoStatus        = 1005 // never on the wire: the close frame had no code
	CloseInvalidPayload  = 1007
	ClosePolicyViolation = 1008
	CloseMessageTooBig   = 1009
	CloseInternalError   = 1011
	CloseServiceRestart  = 1012
	CloseTryAgainLater   = 1013
)

// ErrProtocol ends a WebSocket session whose peer breaks RFC 6455 or RFC 7692.
// The peer is told with CloseProtocolError.
var ErrProtocol = errors.New("getty: websocket protocol violation")

// ErrInvalidUTF8 ends a WebSocket session whose peer sends text that is not
// UTF-8, with CloseInvalidPayload, and is the error of sending such a text.
var ErrInvalidUTF8 = errors.New("getty: websocket text is not valid UTF-8")

// errNoCloseFrame is the cause when a WebSocket peer just closed its conn.
var errNoCloseFrame = fmt.Errorf("getty: websocket peer closed without a close frame: %w", io.ErrUnexpectedEOF)

// CloseError is the close frame of a WebSocket peer as a cause. Given to
// CloseWithCause or returned by a callback, it is the close frame that the peer
// gets. errors.Is(err, io.EOF) holds for the codes of a clean end: 1000, 1001
// and 1005, errors.Is(err, ErrRestart) for 1012.
type CloseError struct {
	// Code is one of the Close constants or from 3000 to 4999.
	Code int
	// Reason is at most 123 bytes of UTF-8; the rest is cut off.
	Reason string
}

// Error gives the code and the reason.
func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("getty: websocket closed with code %d", e.Code)
	}
	return fmt.Sprintf("getty: websocket closed with code %d: %s", e.Code, e.Reason)
}

// Is makes the clean codes an io.EOF, and CloseServiceRestart an ErrRestart.
func (e *CloseError) Is(target error) bool {
	switch e.Code {
	case CloseNormal, CloseGoingAway, CloseNoStatus:
		return target == io.EOF
	case CloseServiceRestart:
		return target == ErrRestart
	}
	return false
}

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// unitError is the cause when a message was well-formed for WebSocket and no
// message to the codec.
type unitError struct{ error }

func (e unitError) Unwrap() error { return e.error }

// closeCode is how a cause is told to the peer. What went wrong on this side in
// particular is not the peer's business.
func closeCode(cause error) (code int, reason string) {
	if cause == nil {
		return CloseNormal, ""
	}
	if ce, ok := errors.AsType[*CloseError](cause); ok {
		if ce.Code != CloseNoStatus && !validCloseCode(ce.Code) {
			return CloseInternalError, ""
		}
		return ce.Code, ce.Reason
	}
	_, ofUnit := errors.AsType[unitError](cause)
	switch {
	case errors.Is(cause, ErrProtocol), errors.Is(cause, io.ErrUnexpectedEOF):
		return CloseProtocolError, ""
	case errors.Is(cause, ErrMessageTooLong): // also within a message of WebSocket's
		return CloseMessageTooBig, ""
	case errors.Is(cause, ErrInvalidUTF8), ofUnit:
		return CloseInvalidPayload, ""
	case errors.Is(cause, ErrShutdown):
		return CloseServiceRestart, ""
	case errors.Is(cause, ErrIdle), errors.Is(cause, ErrKeepalive):
		return CloseGoingAway, "timeout"
	case errors.Is(cause, ErrMessageTimeout), errors.Is(cause, ErrSlowConsumer), errors.Is(cause, ErrWriteTimeout), errors.Is(cause, ErrFirstMessage):
		return ClosePolicyViolation, "timeout"
	case errors.Is(cause, ErrRateLimit):
		return ClosePolicyViolation, "rate limit"
	}
	return CloseInternalError, ""
}

// validCloseCode reports whether a code may stand in a close frame.
func validCloseCode(code int) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code == 1004, code == CloseNoStatus, code == 1006:
		return false
	}
	return code >= CloseNormal && code <= 1014
}

// parseClose understands the payload of a close frame.
func parseClose(payload []byte) (*CloseError, error) {
	switch {
	case len(payload) == 0:
		return &CloseError{Code: CloseNoStatus}, nil
	case len(payload) == 1:
		return nil, violation("a close frame has half a code")
	}
	ce := &CloseError{Code: int(binary.BigEndian.Uint16(payload))}
	if !validCloseCode(ce.Code) {
		return nil, violation("close code %d is not to be sent", ce.Code)
	}
	if reason := payload[2:]; !utf8.Valid(reason) {
		return nil, ErrInvalidUTF8
	}
	ce.Reason = string(payload[2:])
	return ce, nil
}

// closePayload is the payload of a close frame.
func closePayload(code int, reason string) []byte {
	if code == CloseNoStatus {
		return nil
	}
	if room := maxControlPayload - 2; len(reason) > room {
		for room > 0 && !utf8.RuneStart(reason[room]) {
			room--
		}
		reason = reason[:room]
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...) //nolint:gosec // close codes have 16 bits
}
