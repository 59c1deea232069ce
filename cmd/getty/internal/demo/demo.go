// SPDX-License-Identifier: Apache-2.0

// Package demo shows what pooled clients do when their server is killed and
// comes back, and keeps account of every message meanwhile.
package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	poolSize = 8
	window   = 16 // messages in flight per session

	rowPeriod = time.Second
	killEvery = 10 * time.Second
	downTime  = 2 * time.Second
	// aftermath is the least time after a kill in which to see the pools refill.
	aftermath = 5 * time.Second

	// settle is how long the last acknowledgements may take, which is more than
	// ackTimeout, and closing bounds the shutdown of a client.
	settle  = 2 * time.Second
	closing = 5 * time.Second
)

// demo is one run. Everything is owned by the goroutine of Run.
type demo struct {
	table   *table
	total   time.Duration // 0: until interrupted
	loads   []*load
	command []string // runs Serve in a process of its own
	spec    spec
	server  *server // nil while there is none
	start   time.Time
}

// Run shows the demonstration on out for the given time, 0 meaning until ctx
// ends. command is what runs Serve. The error says if the messages do not add up.
func Run(ctx context.Context, out io.Writer, total time.Duration, command []string) error {
	dir, err := os.MkdirTemp("", "getty-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	d := &demo{table: newTable(out), total: total, command: command}
	defer func() { d.server.stop() }()
	if err := d.setUp(ctx, dir); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted before there was anything to sum up
		}
		return err
	}
	err = d.watch(ctx)
	return errors.Join(err, d.finish(ctx.Err() != nil))
}

// setUp starts the server and connects a pool to each of its listeners.
func (d *demo) setUp(ctx context.Context, dir string) error {
	cert, key, err := SelfSigned()
	if err != nil {
		return err
	}
	d.spec = spec{
		URLs: []string{
			"tcp://127.0.0.1:0", "tls://127.0.0.1:0", "unix://" + filepath.Join(dir, "getty.sock"),
			"udp://127.0.0.1:0", "ws://127.0.0.1:0", "wss://127.0.0.1:0",
		},
		Cert: cert, Key: key,
	}
	if d.server, err = startServer(ctx, d.command, d.spec); err != nil {
		return err
	}
	d.spec.URLs = d.server.urls // with the ports to come back on
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	for _, url := range d.spec.URLs {
		l, err := newLoad(url, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13})
		if err != nil {
			return err
		}
		d.loads = append(d.loads, l)
	}
	d.table.intro(d.server.pid(), d.spec.URLs)
	d.start = time.Now()
	for _, l := range d.loads {
		l.run()
	}
	return nil
}

// watch prints the table, and kills and restarts the server, until the end.
func (d *demo) watch(ctx context.Context) error {
	if d.total > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.total)
		defer cancel()
	}
	rows := time.NewTicker(rowPeriod)
	defer rows.Stop()
	chaos := time.NewTimer(d.firstKill())
	defer chaos.Stop()
	last := d.start
	for {
		var exited <-chan struct{}
		if d.server != nil {
			exited = d.server.exited
		}
		select {
		case last = <-rows.C:
			d.rows()
		case <-chaos.C:
			next, err := d.disturb(ctx)
			if err != nil {
				return err
			}
			chaos.Reset(next)
		case <-exited:
			return fmt.Errorf("the server ended by itself: %w", d.server.waitErr)
		case <-ctx.Done():
			// The last tick and the end come at the same moment.
			if time.Since(last) > rowPeriod/2 {
				d.rows()
			}
			return nil
		}
	}
}

func (d *demo) rows() {
	now := time.Since(d.start)
	for _, l := range d.loads {
		d.table.row(now, l.sample(now))
	}
}

// disturb kills the server, or starts it again, and returns when to be called next.
func (d *demo) disturb(ctx context.Context) (next time.Duration, err error) {
	if d.server != nil {
		pid := d.server.pid()
		d.server.kill()
		d.server = nil
		d.table.event(time.Since(d.start), "server killed (SIGKILL to process %d): sessions end, clients redial; on udp messages time out", pid)
		return d.down(), nil
	}
	if d.server, err = startServer(ctx, d.command, d.spec); err != nil {
		if ctx.Err() != nil {
			return time.Hour, nil // the end came first
		}
		return 0, fmt.Errorf("start the server again: %w", err)
	}
	d.table.event(time.Since(d.start), "server back (process %d, same ports and socket): the pools fill, udp is answered", d.server.pid())
	return d.nextKill(time.Since(d.start)), nil
}

// firstKill is after a third of a short run.
func (d *demo) firstKill() time.Duration {
	if d.total == 0 {
		return killEvery
	}
	return min(d.total/3, killEvery)
}

// down is how long the server stays away: in a very short run only as long as
// it leaves time to see it back.
func (d *demo) down() time.Duration {
	if d.total == 0 {
		return downTime
	}
	return min(d.total/4, downTime)
}

// nextKill is the pause until the next one, or until after the end.
func (d *demo) nextKill(now time.Duration) time.Duration {
	next := killEvery - d.down()
	if d.total > 0 && now+next+aftermath > d.total {
		return max(d.total, time.Hour)
	}
	return next
}

// finish ends the clients and sums up.
func (d *demo) finish(interrupted bool) error {
	for _, l := range d.loads {
		l.stop()
	}
	var errs []error
	for _, l := range d.loads {
		errs = append(errs, l.close())
	}
	sums := make([]sum, 0, len(d.loads))
	for _, l := range d.loads {
		s := l.ledger.sum()
		sums = append(sums, s)
		if s.acked == 0 && !interrupted {
			errs = append(errs, fmt.Errorf("%s: nothing was acknowledged", l.name))
		}
	}
	d.table.summary(d.names(), sums)
	for i, s := range sums {
		if err := s.check(); err != nil {
			errs = append(errs, fmt.Errorf("%s does not add up: %w", d.loads[i].name, err))
		}
	}
	return errors.Join(errs...)
}

func (d *demo) names() []string {
	names := make([]string, 0, len(d.loads))
	for _, l := range d.loads {
		names = append(names, l.name)
	}
	return names
}
