// SPDX-License-Identifier: Apache-2.0

// Package pool has the pooled clients that are compared. They are watched from the server's side, so that all are
// judged by the same thing: how many connections stand.
package pool

import (
	"fmt"
	"io"
)

// Client is a running pool.
type Client interface {
	// Close ends it and its connections.
	io.Closer
}

// starters maps the names to functions; the build tags are those of package contender.
var starters = map[string]func(addr string, size int) (Client, error){}

// Start makes the named client connect, in the background if that is its way, and keep its pool full.
func Start(name, addr string, size int) (Client, error) {
	start, ok := starters[name]
	if !ok {
		return nil, fmt.Errorf("no pool %q", name)
	}
	return start(addr, size)
}
