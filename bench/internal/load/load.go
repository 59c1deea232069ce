// SPDX-License-Identifier: Apache-2.0

// Package load generates load for the echo servers: one thread, one epoll, raw system calls. Go's own network
// poller is left out on purpose: the generator has to be cheaper than any server that it measures, the plain net
// package among them. Linux only.
package load

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/getty-net/getty/bench/internal/frame"
)

// Config says what to send.
type Config struct {
	Addr  string // of the server, host:port
	Conns int
	Body  int // bytes in each body, at least frame.MinBody
	Depth int // messages in flight on each connection, in the closed loop
	TLS   bool
	// WebSocket makes the messages binary ones of WebSocket; Deflate compresses them, without context takeover.
	WebSocket, Deflate bool
	// UDP makes the messages packets, and Conns the sockets that they come from; see DialUDP.
	UDP bool
	// Rate, when not 0, replaces the closed loop by an open one: so many messages per second altogether, evenly
	// spaced and going round the connections, whether earlier ones have been answered or not.
	Rate float64
	// Quiet is how many further connections there are in the closed loop that send a message every quietPause, one
	// at a time. The latency is theirs.
	Quiet    int
	Warmup   time.Duration // before the measured time, at least
	Duration time.Duration // measured
	// PID is the server's process, whose processor time and system calls are read at both ends of the measured
	// time, 0 for none.
	PID int
}

// Result is what happened during the measured time.
type Result struct {
	Messages  uint64  `json:"messages"` // echoed and verified
	Seconds   float64 `json:"seconds"`
	ServerCPU float64 `json:"server_cpu_s"` // user and system, all threads
	LoadCPU   float64 `json:"load_cpu_s"`
	Reads     int64   `json:"reads"`  // read system calls of the server, recv not among them
	Writes    int64   `json:"writes"` // write system calls of the server, send not among them
	Lost      uint64  `json:"lost"`   // packets that were not echoed in time
	P50       float64 `json:"p50_us"` // latency; of the open loop, or of Quiet connections
	P99       float64 `json:"p99_us"`
}

// Driver drives a server.
type Driver interface {
	// Once sends one message on each connection and waits for all the echoes.
	Once(timeout time.Duration) error
	// Run drives the load as configured, and measures.
	Run() (Result, error)
	// Open counts the connections that are still open.
	Open() int
	// Close closes all of them.
	Close()
}

// Open opens all connections: a Loop, or Flows for UDP.
func Open(cfg Config) (Driver, error) {
	if cfg.UDP {
		return DialUDP(cfg)
	}
	return Dial(cfg)
}

// Loop holds the connections and drives them. It must be used from one goroutine.
type Loop struct {
	cfg    Config
	epoll  int
	conns  []*conn // those of Config.Quiet come last
	tmpl   *frame.Template
	buf    []byte
	events []unix.EpollEvent

	messages uint64
	draining bool      // nothing new is sent any more
	lat      []float64 // in microseconds, while measuring
	asked    time.Time // when the last message of a quiet connection was due
	turn     int       // of the quiet connection that comes next
}

// Dial opens all connections.
func Dial(cfg Config) (*Loop, error) {
	if cfg.Body < frame.MinBody || cfg.Conns < 1 || cfg.Depth < 1 {
		return nil, fmt.Errorf("load: needs at least 1 connection, 1 message in flight and %d bytes", frame.MinBody)
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	l := &Loop{
		cfg: cfg, epoll: epoll,
		buf: make([]byte, 256<<10), events: make([]unix.EpollEvent, 1024),
	}
	share, err := l.protocol()
	if err != nil {
		l.Close()
		return nil, err
	}
	for i := range cfg.Conns + cfg.Quiet {
		c, err := dial(cfg, share())
		if err == nil {
			l.conns = append(l.conns, c)
			ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
			err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, c.fd, &ev)
		}
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return l, nil
}

// protocol prepares what is sent, and returns what makes the checker of a connection.
func (l *Loop) protocol() (share func() checker, err error) {
	cfg := l.cfg
	if cfg.Deflate {
		l.tmpl, err = frame.NewDeflateTemplate(cfg.Body, cfg.Depth)
		return func() checker { return frame.NewDeflateChecker(cfg.Body) }, err
	}
	l.tmpl = frame.NewTemplate(cfg.Body, cfg.Depth)
	check := frame.NewChecker(cfg.Body)
	if cfg.WebSocket {
		l.tmpl = frame.NewWebSocketTemplate(cfg.Body, cfg.Depth)
		check = frame.NewWebSocketChecker(cfg.Body)
	}
	return func() checker { return check.Share() }, nil
}

// Close closes all connections.
func (l *Loop) Close() {
	for _, c := range l.conns {
		_ = unix.Close(c.fd)
	}
	_ = unix.Close(l.epoll)
}

// Once sends one message on each connection and waits for all the echoes.
func (l *Loop) Once(timeout time.Duration) error {
	l.draining = true // so that an echo does not start the next message
	for _, c := range l.conns {
		if err := l.send(c, 1); err != nil {
			return err
		}
	}
	return l.drain(timeout)
}

// Run drives the load as configured, measures, and waits until everything in flight has come back.
func (l *Loop) Run() (Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var res Result
	step := l.closed
	if l.cfg.Rate > 0 {
		step = l.open
	}
	l.draining = l.cfg.Rate > 0
	if err := l.start(); err != nil {
		return res, err
	}
	if err := l.warm(step); err != nil {
		return res, err
	}
	begin, err := look(l.cfg.PID, l.messages)
	if err != nil {
		return res, err
	}
	l.lat = l.lat[:0]
	if err := step(l.cfg.Duration); err != nil {
		return res, err
	}
	end, err := look(l.cfg.PID, l.messages)
	if err != nil {
		return res, err
	}
	res = end.since(begin)
	res.P50, res.P99 = quantiles(l.lat)
	l.draining = true
	return res, l.drain(10 * time.Second)
}

// warm drives the load until the warm-up is over and, in the closed loop, each connection has been round its
// messages a few times on average: buffers have grown by then.
func (l *Loop) warm(step func(time.Duration) error) error {
	enough := uint64(0)
	if l.cfg.Rate == 0 {
		enough = l.messages + uint64(4*l.cfg.Conns*l.cfg.Depth) //nolint:gosec // in range
	}
	err := step(l.cfg.Warmup)
	for begin := time.Now(); err == nil && l.messages < enough && time.Since(begin) < 5*time.Second; {
		err = step(10 * time.Millisecond)
	}
	return err
}

// start puts the first messages of the closed loop in flight.
func (l *Loop) start() error {
	if l.cfg.Rate > 0 {
		return nil
	}
	for _, c := range l.conns[:l.cfg.Conns] {
		if err := l.send(c, l.cfg.Depth); err != nil {
			return err
		}
	}
	return nil
}

// closed answers each echo with the next message, for d.
func (l *Loop) closed(d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := errors.Join(l.poll(10), l.ask()); err != nil {
			return err
		}
	}
	return nil
}

// open sends at the configured rate, for d. It never sleeps: a timer would bunch the messages.
func (l *Loop) open(d time.Duration) error {
	interval := time.Duration(float64(time.Second) / l.cfg.Rate)
	start := time.Now()
	next := time.Duration(0)
	for i := 0; ; {
		now := time.Since(start)
		if now >= d {
			return nil
		}
		for ; next <= now; next += interval {
			c := l.conns[i%len(l.conns)]
			i++
			c.sent = append(c.sent, time.Now())
			if err := l.send(c, 1); err != nil {
				return err
			}
		}
		if err := l.poll(0); err != nil {
			return err
		}
	}
}

// drain reads until nothing is in flight.
func (l *Loop) drain(timeout time.Duration) error {
	for end := time.Now().Add(timeout); ; {
		pending := 0
		for _, c := range l.conns {
			pending += int(c.next - c.check.Received()) //nolint:gosec // in range
		}
		if pending == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("load: %d messages were not echoed within %v", pending, timeout)
		}
		if err := l.poll(10); err != nil {
			return err
		}
	}
}

// Open counts the connections that are still open and silent, as they must be when nothing is in flight.
func (l *Loop) Open() int {
	n := 0
	for _, c := range l.conns {
		if _, err := unix.Read(c.fd, l.buf[:1]); errors.Is(err, unix.EAGAIN) {
			n++
		}
	}
	return n
}
