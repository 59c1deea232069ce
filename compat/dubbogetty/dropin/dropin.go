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

// ReconnectEnv is an environment variable that turns SetReconnectOnEOF on for
// programs that cannot be changed: "true" or "1".
const ReconnectEnv = "GETTY_RECONNECT_ON_EOF"

var (
	mu        sync.Mutex
	reconnect *bool // nil: as the environment says
	origins   []string
)

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
func ReconnectOnEOF() bool {
	mu.Lock()
	defer mu.Unlock()
	if reconnect != nil {
		return *reconnect
	}
	on, err := strconv.ParseBool(os.Getenv(ReconnectEnv))
	return err == nil && on
}

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
