// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gxsync "github.com/dubbogo/gost/sync"
	engine "github.com/getty-net/getty"

	"github.com/apache/dubbo-getty/dropin"
)

// endpoint is what servers and clients have in common.
type endpoint struct {
	id   EndPointID
	kind EndPointType
	pool gxsync.GenericTaskPool
	self EndPoint
	name string // of new sessions

	done atomic.Bool

	calling sync.Mutex // a NewSessionCallback
	setUp   atomic.Pointer[NewSessionCallback]

	watch watcher // nil for servers
}

// watcher is told about the sessions of a client. closed comes before OnError
// and OnClose.
type watcher interface {
	admit(ended <-chan struct{})
	refused()
	created(s *session)
	opened(s *session)
	closed(s *session, id uint64, cause error)
	misconfigured(err error) (told bool)
}

func (ep *endpoint) ID() EndPointID                      { return ep.id }
func (ep *endpoint) EndPointType() EndPointType          { return ep.kind }
func (ep *endpoint) IsClosed() bool                      { return ep.done.Load() }
func (ep *endpoint) GetTaskPool() gxsync.GenericTaskPool { return ep.pool }

func (x EndPointType) isStream() bool    { return x == TCP_CLIENT || x == TCP_SERVER }
func (x EndPointType) isUDP() bool       { return x == UDP_CLIENT || x == UDP_ENDPOINT }
func (x EndPointType) isWebSocket() bool { return !x.isStream() && !x.isUDP() }

func (ep *endpoint) opened(s *session) {
	if ep.watch != nil {
		ep.watch.opened(s)
	}
}

func (ep *endpoint) closed(s *session, id uint64, cause error) {
	if ep.watch != nil {
		ep.watch.closed(s, id, cause)
	}
}

// closeLimit is how long Close waits for callbacks.
const closeLimit = time.Second

// stallLimit ends sessions whose peer takes no byte for so long. Before that a
// write that finds no room in its own time fails alone.
const stallLimit = 10 * time.Minute

// config is the engine's configuration; sessions have their own limits, see adopt.
func (ep *endpoint) config() engine.Config {
	return engine.Config{
		Logger:         engineLog,
		MaxMessageSize: math.MaxInt32,
		WriteTimeout:   stallLimit,
		WebSocket: engine.WebSocketConfig{
			Deflate:     engine.Deflate{Enabled: true},
			CheckOrigin: allowsOrigin,
		},
	}
}

// allowsOrigin is the engine's own rule with origins that may change.
func allowsOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return true
	}
	return slices.ContainsFunc(dropin.Origins(), func(o string) bool {
		return o == "*" || strings.EqualFold(strings.TrimSuffix(o, "/"), origin)
	})
}

// adopt is the engine's Configure: it makes a session of one of the engine's
// and has the user set it up.
func (ep *endpoint) adopt(es *engine.Session[any], u *engine.Setup[any]) error {
	if ep.watch != nil {
		ep.watch.admit(es.Done())
	}
	if ep.IsClosed() {
		return ErrSessionClosed
	}
	s := newSession(ep, ep.name, engineLink{es})
	if fault, err := ep.callSetUp(s); err != nil {
		if fault && (ep.watch == nil || !ep.watch.misconfigured(err)) {
			engineLog.Error("getty: a session is refused", "endpoint", ep.kind, "error", err)
		}
		if ep.watch != nil {
			ep.watch.refused()
		}
		s.release()
		return err
	}
	set := s.set.Load()
	u.Codec, u.Events = (*engineSide)(s), (*engineSide)(s)
	u.CloseTimeout = max(min(set.wait, set.read), time.Millisecond)
	if ep.kind.isWebSocket() && set.maxMsg > 0 {
		// One more than a message may have, so that a longer one can be told.
		s.limit = min(set.maxMsg, math.MaxInt32-1)
		u.MaxMessageSize = s.limit + 1
	}
	switch {
	case ep.kind.isWebSocket():
		u.Deflate = u.Deflate && set.compress.chosen
	case !set.compress.chosen || ep.kind.isUDP():
	case set.compress.how == CompressSnappy:
		u.Compression = engine.CompressSnappy.Raw()
	default:
		u.Compression = engine.CompressFlate.Raw()
	}
	return nil
}

// callSetUp runs the user's NewSessionCallback, as ever one at a time unless for a
// WebSocket server, and checks that the session has what it needs. It reports a fault of the program,
// which no other attempt will mend: a part that is missing, or a panic.
func (ep *endpoint) callSetUp(s *session) (fault bool, err error) {
	if ep.watch != nil {
		ep.watch.created(s)
	}
	if ep.kind != WS_SERVER && ep.kind != WSS_SERVER {
		ep.calling.Lock()
		defer ep.calling.Unlock()
	}
	defer func() {
		if r := recover(); r != nil {
			p := &engine.PanicError{Value: r, Stack: debug.Stack()}
			fault, err = true, fmt.Errorf("getty: NewSessionCallback: %w\n%s", p, p.Stack)
		}
	}()
	if err := (*ep.setUp.Load())(s); err != nil {
		return false, err
	}
	set := s.set.Load()
	switch {
	case set.listener == nil:
		return true, errors.New("getty: NewSessionCallback has set no EventListener")
	case set.writer == nil:
		return true, errors.New("getty: NewSessionCallback has set no Writer")
	case set.reader == nil && !ep.kind.isWebSocket():
		return true, errors.New("getty: NewSessionCallback has set no Reader")
	}
	return false, nil
}

// unset is the codec of an endpoint, all of whose sessions have their own.
type unset struct{}

func (unset) Decode([]byte) (any, int, error)          { return nil, 0, errors.New("getty: no codec") }
func (unset) Append(dst []byte, _ any) ([]byte, error) { return dst, errors.New("getty: no codec") }
