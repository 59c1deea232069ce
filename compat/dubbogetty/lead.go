// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// leadTime is how long the first session of a pool stands alone.
	leadTime = 30 * time.Millisecond
	// leadLimit is how long the others wait for a first one that does not open.
	leadLimit = 100 * time.Millisecond
)

// lead lets one session of a new pool open before the others. The original
// opens them 300 ms apart, and its users count on the first for having their
// way with the client undisturbed: dubbo-go reads what OnOpen of another session
// writes when it closes a client that it has just made.
type lead struct {
	taken atomic.Bool
	once  sync.Once
	over  chan struct{}
}

// admit waits until a session may open, or has ended.
func (l *lead) admit(ended <-chan struct{}) {
	if !l.taken.Swap(true) {
		return
	}
	select {
	case <-l.over:
		return
	default:
	}
	limit := time.NewTimer(leadLimit)
	defer limit.Stop()
	select {
	case <-l.over:
	case <-ended:
	case <-limit.C:
		l.end()
	}
}

// opened begins the time in which the first session is alone. A first one that fails ends the waiting.
func (l *lead) opened() { time.AfterFunc(leadTime, l.end) }

func (l *lead) end() { l.once.Do(func() { close(l.over) }) }
