// SPDX-License-Identifier: Apache-2.0

// Package dropin has the choices that getty leaves to programs which moved to it
// from dubbo-getty by a replace directive. They hold for the whole process,
// since the endpoints are often made by a library that knows nothing of them,
// and for endpoints whose RunEventLoop is called afterwards. Each function may
// be called from any goroutine.
//
// The choices stand here, and not among the options of package getty, so that
// its API remains the original's and code that uses it builds with both.
package dropin

import (
	"os"
	"slices"
	"strconv"
	"sync"
)

// Environment variables that turn a choice on for programs that cannot be
// changed: "true" or "1".
const (
	ReconnectEnv     = "GETTY_RECONNECT_ON_EOF" // SetReconnectOnEOF
	AnyServerNameEnv = "GETTY_ANY_SERVER_NAME"  // SetAnyServerName
)

var (
	mu        sync.Mutex
	reconnect *bool // nil: as the environment says
	anyName   *bool // likewise
	origins   []string
)

// chosen returns what was set last, or what the environment says.
func chosen(set **bool, env string) bool {
	mu.Lock()
	defer mu.Unlock()
	if *set != nil {
		return **set
	}
	on, err := strconv.ParseBool(os.Getenv(env))
	return err == nil && on
}

// SetReconnectOnEOF says whether a client over TCP replaces a session whose
// peer has closed it in an orderly way. The original does not, and neither does
// getty by default: after a graceful restart of the server the pool stays
// short, or empty, until RunEventLoop is called again. Programs that watch
// their sessions themselves and open new ones, such as dubbo-go, want that.
// Those that do not, such as seata-go, want true.
func SetReconnectOnEOF(on bool) {
	mu.Lock()
	defer mu.Unlock()
	reconnect = &on
}

// ReconnectOnEOF returns what was set last, or what the environment says.
func ReconnectOnEOF() bool { return chosen(&reconnect, ReconnectEnv) }

// SetAnyServerName says whether clients over TLS and WSS take a certificate that
// is for another host than the server's address names, or for none. It must be
// signed by who is trusted nevertheless. It concerns the configurations that
// package getty makes: of a ClientTlsConfigBuilder and of NewWSSClient.
//
// The original verifies nothing at all, so that certificates without a matching
// name have gone unnoticed. Mend them if you can: with true whoever has any
// certificate of the same authority can pass for the server.
func SetAnyServerName(on bool) {
	mu.Lock()
	defer mu.Unlock()
	anyName = &on
}

// AnyServerName returns what was set last, or what the environment says.
func AnyServerName() bool { return chosen(&anyName, AnyServerNameEnv) }

// AllowOrigins names the origins, besides the server's own, from which browsers
// may open WebSocket sessions, such as "https://example.com"; "*" is any, as in
// the original. By default there are none.
func AllowOrigins(allowed ...string) {
	mu.Lock()
	defer mu.Unlock()
	origins = slices.Clone(allowed)
}

// Origins returns what AllowOrigins was given last.
func Origins() []string {
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(origins)
}
