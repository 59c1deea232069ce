// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"sync"
)

// job is one session's batch on its way through an executor. It is reused: the
// session does not read before its batch has returned, which is what keeps
// order, aliasing and memory bounded without a queue per session.
type job struct {
	c    *core
	err  error
	task func()
	done chan struct{}

	skimmed bool   // ahead is the first unit of the batch, for a framing
	ahead   []byte // in the window, or lent by the framing
}

// needJob makes the session's job when it is first needed.
func (c *core) needJob() {
	if c.job == nil {
		c.job = &job{c: c, done: make(chan struct{}, 1)}
		c.job.task = c.job.run
	}
}

// handOver has the batch run by ex and waits for it.
func (c *core) handOver(ex Executor) error {
	c.needJob()
	if err := submit(ex, c.job.task); err != nil {
		return fmt.Errorf("getty: executor: %w", err)
	}
	<-c.job.done
	return c.job.err
}

// submit makes a panic in Submit, such as that of a pool that was closed, an
// error: the task has not begun, or would not have panicked.
func submit(ex Executor, task func()) (err error) {
	defer foreign(&err)
	return ex.Submit(task)
}

func (j *job) run() {
	// Deferred, since a callback may call runtime.Goexit.
	defer func() { j.done <- struct{}{} }()
	j.err = ErrGoexit
	j.err = j.c.runBatch()
}

// workerPool is the Executor behind Config.Workers. Workers are started when
// they are first needed and stay until stop: their stacks have grown to what
// the handlers use.
type workerPool struct {
	g     group
	tasks chan func()
	quit  chan struct{}
	once  sync.Once

	mu   sync.Mutex
	free int // workers that may still be started
}

func newWorkerPool(size int) *workerPool {
	return &workerPool{tasks: make(chan func()), quit: make(chan struct{}), free: size}
}

// Submit hands task to an idle worker, to a new one while there may be more, or
// waits. It is not called after stop.
func (p *workerPool) Submit(task func()) error {
	select {
	case p.tasks <- task:
		return nil
	default:
	}
	p.mu.Lock()
	if p.free > 0 {
		p.free--
		p.mu.Unlock()
		p.g.spawn(func() { p.work(task) })
		return nil
	}
	p.mu.Unlock()
	p.tasks <- task
	return nil
}

func (p *workerPool) work(task func()) {
	exited := true
	defer func() {
		if exited {
			// Goexit took this worker; another one takes its place, since
			// somebody may be waiting in Submit already.
			p.g.spawn(func() { p.work(nil) })
		}
	}()
	for {
		if task != nil {
			task()
		}
		select {
		case task = <-p.tasks:
		case <-p.quit:
			exited = false
			return
		}
	}
}

// stop ends the workers. It may be called again.
func (p *workerPool) stop() { p.once.Do(func() { close(p.quit) }) }
