// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Logger is what this package logs with. Payloads are never logged, and an
// error that is returned or given to OnError is not logged as well.
type Logger interface {
	// Info logs what is worth to be known.
	Info(args ...interface{})
	// Warn logs what was overcome.
	Warn(args ...interface{})
	// Error logs what was not.
	Error(args ...interface{})
	// Debug logs details.
	Debug(args ...interface{})

	// Infof is Info with a format.
	Infof(fmt string, args ...interface{})
	// Warnf is Warn with a format.
	Warnf(fmt string, args ...interface{})
	// Errorf is Error with a format.
	Errorf(fmt string, args ...interface{})
	// Debugf is Debug with a format.
	Debugf(fmt string, args ...interface{})
}

// LoggerLevel is an argument of SetLoggerLevel, with zap's values.
type LoggerLevel int8

// The levels.
const (
	LoggerLevelDebug  = LoggerLevel(zapcore.DebugLevel)
	LoggerLevelInfo   = LoggerLevel(zapcore.InfoLevel)
	LoggerLevelWarn   = LoggerLevel(zapcore.WarnLevel)
	LoggerLevelError  = LoggerLevel(zapcore.ErrorLevel)
	LoggerLevelDPanic = LoggerLevel(zapcore.DPanicLevel)
	LoggerLevelPanic  = LoggerLevel(zapcore.PanicLevel)
	LoggerLevelFatal  = LoggerLevel(zapcore.FatalLevel)
)

var (
	logger atomic.Pointer[Logger] // nil: made when it is first asked for

	zapMu     sync.Mutex
	zapConfig = defaultZap()
)

func defaultZap() zap.Config {
	c := zap.NewDevelopmentConfig()
	c.EncoderConfig = zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "logger", CallerKey: "caller",
		MessageKey: "message", StacktraceKey: "stacktrace",
		EncodeLevel: zapcore.CapitalColorLevelEncoder, EncodeTime: zapcore.ISO8601TimeEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder, EncodeCaller: zapcore.ShortCallerEncoder,
	}
	return c
}

// SetLogger replaces the logger; nil is silence. It may be called at any time.
func SetLogger(l Logger) { logger.Store(&l) }

// GetLogger returns the logger.
func GetLogger() Logger {
	if l := logger.Load(); l != nil {
		return *l
	}
	zapMu.Lock()
	defer zapMu.Unlock()
	if logger.Load() == nil {
		if err := useZap(); err != nil {
			SetLogger(nil)
		}
	}
	return *logger.Load()
}

// SetLoggerLevel goes back to zap's logger, with a level.
func SetLoggerLevel(level LoggerLevel) error {
	zapMu.Lock()
	defer zapMu.Unlock()
	zapConfig.Level = zap.NewAtomicLevelAt(zapcore.Level(level))
	return useZap()
}

// SetLoggerCallerDisable goes back to zap's logger, without the place of each call.
func SetLoggerCallerDisable() error {
	zapMu.Lock()
	defer zapMu.Unlock()
	zapConfig.Development, zapConfig.DisableCaller = false, true
	return useZap()
}

// useZap is called with zapMu held.
func useZap() error {
	l, err := zapConfig.Build()
	if err == nil {
		SetLogger(l.Sugar())
	}
	return err
}

// engineLog has the engine log with this package's logger.
var engineLog = slog.New(logHandler{})

// logHandler is a slog.Handler over GetLogger.
type logHandler struct{ attrs string }

func (logHandler) Enabled(context.Context, slog.Level) bool { return GetLogger() != nil }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	line.WriteString(r.Message)
	line.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		line.WriteString(" " + a.String())
		return true
	})
	l := GetLogger()
	switch {
	case l == nil:
	case r.Level >= slog.LevelError:
		l.Error(line.String())
	case r.Level >= slog.LevelWarn:
		l.Warn(line.String())
	case r.Level >= slog.LevelInfo:
		l.Info(line.String())
	default:
		l.Debug(line.String())
	}
	return nil
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h.attrs += " " + a.String()
	}
	return h
}

func (h logHandler) WithGroup(string) slog.Handler { return h }
