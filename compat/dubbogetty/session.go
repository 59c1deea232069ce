// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Session is one conversation. The same value is given to every callback; it
// can be a map key. Every method may be called from any goroutine at any time,
// also after the end, and setters take effect while the session runs.
type Session interface {
	Connection
	// Reset takes everything from the session: settings, attributes, endpoint
	// and connection, which is closed without callbacks.
	Reset()
	// Conn is exactly a *net.TCPConn, *tls.Conn or *net.UDPConn, for WebSocket
	// the one below; nil after OnClose has returned. It serves to set options.
	Conn() net.Conn
	// Stat describes the session and its counters for logs.
	Stat() string
	// IsClosed reports whether the session has begun to close.
	IsClosed() bool
	// EndPoint is the server or client of the session.
	EndPoint() EndPoint
	// SetMaxMsgLen limits received packages, to 4096 bytes by default; less than
	// 1 is no limit.
	SetMaxMsgLen(int)
	// SetName sets the name in Stat.
	SetName(string)
	// SetEventListener sets the listener. A session needs one.
	SetEventListener(EventListener)
	// SetPkgHandler sets both Reader and Writer.
	SetPkgHandler(ReadWriter)
	// SetReader sets the Reader. WebSocket sessions without one hand messages
	// over as a []byte.
	SetReader(Reader)
	// SetWriter sets the Writer. A session needs one.
	SetWriter(Writer)
	// SetCronPeriod sets the period of OnCron, and of a WebSocket's pings, in
	// milliseconds. It panics on less than 1.
	SetCronPeriod(int)
	// SetWaitTime limits how long Close takes, 3 s by default, until the socket
	// is closed whatever the peer does. It panics on less than 1 ns.
	SetWaitTime(time.Duration)
	// GetAttribute returns what SetAttribute was given for the key, or nil.
	GetAttribute(interface{}) interface{}
	// SetAttribute stores a value for the session's user. The key
	// "ignore-reconnect" with true has a client not replace this session.
	SetAttribute(interface{}, interface{})
	// RemoveAttribute forgets a value.
	RemoveAttribute(interface{})

	// WritePkg encodes pkg and sends it, waiting for room at most timeout, or
	// the write timeout if that is less than 1. For UDP pkg is a UDPContext, or
	// a pointer to one. It returns the length of the encoded package and how
	// many of its bytes were sent: all, unless there is an error.
	WritePkg(pkg interface{}, timeout time.Duration) (totalBytesLength int, sendBytesLength int, err error)
	// WriteBytes sends bytes as one package and returns how many were sent.
	WriteBytes([]byte) (int, error)
	// WriteBytesArray sends slices as one. They are not changed.
	WriteBytesArray(...[]byte) (int, error)
	// Close ends the session. It returns at once; what was written before is
	// still sent, and OnClose follows, in NewSessionCallback after OnOpen.
	Close()
}

// The defaults of a session.
const (
	defaultMaxMsgLen = 4096
	defaultTimeout   = time.Second
	defaultPeriod    = time.Minute
	defaultWait      = 3 * time.Second
)

// launched is what GetActive returns for sessions that were never active.
var launched = time.Now()

var lastConnection atomic.Uint32

// settings are what setters set. They are replaced as a whole, so that reading
// them takes no lock.
type settings struct {
	name     string
	listener EventListener
	reader   Reader
	writer   Writer
	maxMsg   int
	period   time.Duration
	wait     time.Duration
	read     time.Duration
	write    time.Duration
	compress compression
}

// compression is what SetCompressType was called with, if it was.
type compression struct {
	chosen bool
	how    CompressType
}

// session is the one implementation of Session.
type session struct {
	id  uint32
	ep  *endpoint
	via atomic.Pointer[link] // nil after the end
	set atomic.Pointer[settings]

	active   atomic.Int64 // of UpdateActive, since launched
	readPkgs atomic.Int32 // beyond what the link counts
	sentPkgs atomic.Int32

	closed atomic.Bool
	open   atomic.Bool // early may have been sent; set with mu held
	reset  atomic.Bool
	live   bool   // in its client's pool; the callbacks' goroutine alone
	limit  int    // of a WebSocket message, as NewSessionCallback has left it; 0: none
	cause  error  // the Reader's error; the reader's goroutine
	kept   []byte // received, for packages that live on a task pool; likewise

	mu    sync.Mutex // also taken to replace set
	attrs map[any]any
	early []*frame // written before OnOpen
	cron  cron
	cutT  *time.Timer
}

func newSession(ep *endpoint, name string, via link) *session {
	s := &session{id: lastConnection.Add(1), ep: ep}
	s.via.Store(&via)
	s.set.Store(&settings{
		name: name, maxMsg: defaultMaxMsgLen, period: defaultPeriod, wait: defaultWait,
		read: defaultTimeout, write: defaultTimeout,
	})
	return s
}

// link returns what carries the session, or nil after its end.
func (s *session) link() link {
	if l := s.via.Load(); l != nil {
		return *l
	}
	return nil
}

// endpoint returns the endpoint, or nil after Reset.
func (s *session) endpoint() *endpoint {
	if s.reset.Load() {
		return nil
	}
	return s.ep
}

// change replaces the settings.
func (s *session) change(f func(*settings)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := *s.set.Load()
	f(&next)
	s.set.Store(&next)
}

func (s *session) Reset() {
	l := s.link()
	s.mu.Lock()
	s.reset.Store(true)
	s.via.Store(nil)
	s.set.Store(&settings{name: "session", period: defaultPeriod, wait: defaultWait})
	s.attrs, s.early = nil, nil
	s.cron.stop()
	s.mu.Unlock()
	s.closed.Store(true)
	if l != nil {
		l.close()
	}
}

func (s *session) Conn() net.Conn {
	if l := s.link(); l != nil {
		return l.conn()
	}
	return nil
}

func (s *session) Stat() string {
	l := s.link()
	if l == nil {
		return ""
	}
	n := l.counts()
	return fmt.Sprintf("session %s, Read Bytes: %d, Write Bytes: %d, Read Pkgs: %d, Write Pkgs: %d", s,
		n.bytesIn, n.bytesOut, n.in+int64(s.readPkgs.Load()), n.out+int64(s.sentPkgs.Load()))
}

// String describes the session for logs.
func (s *session) String() string {
	ep := s.endpoint()
	if ep == nil || s.IsClosed() {
		return "session-closed"
	}
	return fmt.Sprintf("{%s:%s:%d:%s<->%s}", s.set.Load().name, ep.kind, s.ID(), s.LocalAddr(), s.RemoteAddr())
}

func (s *session) IsClosed() bool {
	if s.closed.Load() {
		return true
	}
	l := s.link()
	return l != nil && l.closed()
}

func (s *session) EndPoint() EndPoint {
	if ep := s.endpoint(); ep != nil {
		return ep.self
	}
	return nil
}

func (s *session) SetMaxMsgLen(length int) { s.change(func(n *settings) { n.maxMsg = length }) }
func (s *session) SetName(name string)     { s.change(func(n *settings) { n.name = name }) }

func (s *session) SetEventListener(listener EventListener) {
	s.change(func(n *settings) { n.listener = listener })
}

func (s *session) SetPkgHandler(handler ReadWriter) {
	s.change(func(n *settings) { n.reader, n.writer = handler, handler })
}

func (s *session) SetReader(reader Reader) { s.change(func(n *settings) { n.reader = reader }) }
func (s *session) SetWriter(writer Writer) { s.change(func(n *settings) { n.writer = writer }) }

func (s *session) SetCronPeriod(period int) {
	if period < 1 {
		panic("getty: SetCronPeriod: the period is less than 1 ms")
	}
	d := time.Duration(period) * time.Millisecond
	s.change(func(n *settings) {
		n.period = d
		s.cron.again(d)
	})
}

func (s *session) SetWaitTime(wait time.Duration) {
	if wait < 1 {
		panic("getty: SetWaitTime: the time is less than 1 ns")
	}
	s.change(func(n *settings) { n.wait = wait })
}

func (s *session) GetAttribute(key interface{}) interface{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attrs[key]
}

func (s *session) SetAttribute(key, value interface{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.via.Load() == nil {
		return
	}
	if s.attrs == nil {
		s.attrs = make(map[any]any)
	}
	s.attrs[key] = value
}

func (s *session) RemoveAttribute(key interface{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.attrs, key)
}

func (s *session) Close() {
	if s.closed.Swap(true) {
		return
	}
	// A session that is being set up is closed after its OnOpen.
	if l := s.link(); l != nil && s.open.Load() {
		l.close()
		s.closing()
	}
}
