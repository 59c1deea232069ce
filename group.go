// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"sync"
)

// group counts what runs on behalf of an endpoint. Unlike a WaitGroup it can be
// waited for with a context.
type group struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed when n falls to 0; nil if nobody waits
}

func (g *group) add() {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
}

func (g *group) done() {
	g.mu.Lock()
	g.n--
	if g.n == 0 && g.zero != nil {
		close(g.zero)
		g.zero = nil
	}
	g.mu.Unlock()
}

// spawn runs f on a goroutine that counts.
func (g *group) spawn(f func()) {
	g.add()
	go func() {
		defer g.done()
		f()
	}()
}

// wait returns nil once nothing runs, or the error of ctx.
func (g *group) wait(ctx context.Context) error {
	g.mu.Lock()
	if g.n == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.zero == nil {
		g.zero = make(chan struct{})
	}
	zero := g.zero
	g.mu.Unlock()
	select {
	case <-zero:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
