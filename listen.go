// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// listen opens the listener of a target.
func (ep *endpoint) listen(t target) (net.Listener, error) {
	if t.network == "udp" {
		pc, err := ep.listenPacket(t)
		if err != nil {
			return nil, err
		}
		return newUDPSocket(ep, pc), nil
	}
	lc := net.ListenConfig{Control: ep.cfg.control}
	if ep.cfg.UserTimeout > 0 {
		lc.SetMultipathTCP(false) // it has none
	}
	l, err := lc.Listen(context.Background(), t.network, t.address)
	if err != nil && t.network == "unix" && errors.Is(err, syscall.EADDRINUSE) && removeStale(t.address) {
		l, err = lc.Listen(context.Background(), t.network, t.address)
	}
	return l, err
}

// removeStale removes the socket file of a process that did not live to do so.
// Only a file that is a socket on which nobody listens is removed.
func removeStale(path string) bool {
	if strings.HasPrefix(path, "@") {
		return false
	}
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode()&os.ModeSocket == 0 {
		return false
	}
	nc, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = nc.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
}

// accept runs the accept loop of one listener: it only accepts, and open leaves
// all that may take time to a goroutine per connection, which must call
// ep.g.done. It returns the error that ended it.
func (ep *endpoint) accept(l net.Listener, open func(nc net.Conn)) error {
	var backoff time.Duration
	for {
		nc, err := acceptOne(l)
		switch {
		case err == nil:
			backoff = 0
			ep.g.add()
			open(nc)
		case ep.isClosing():
			return ErrServerClosed
		case !transient(err):
			return err
		default:
			ep.acceptErrors.Add(1)
			backoff = min(max(2*backoff, minAcceptBackoff), maxAcceptBackoff)
			ep.log.Warn("getty: accept failed", "addr", l.Addr(), "error", err, "retry", backoff)
			ep.sleep(backoff)
		}
	}
}

func acceptOne(l net.Listener) (nc net.Conn, err error) {
	defer foreign(&err)
	if nc, err = l.Accept(); nc == nil && err == nil {
		err = errors.New("getty: Accept returned neither a conn nor an error")
	}
	return nc, err
}

// The pause after a failed accept doubles between these.
const (
	minAcceptBackoff = 5 * time.Millisecond
	maxAcceptBackoff = time.Second
)

// transient reports whether accepting may succeed later: descriptors or memory
// have run out, or the peer was gone too soon.
func transient(err error) bool {
	for _, e := range [...]error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// sleep waits for d or the end of the endpoint.
func (ep *endpoint) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ep.quit:
	}
}

func (ep *endpoint) isClosing() bool {
	select {
	case <-ep.quit:
		return true
	default:
		return false
	}
}

// serverTLS checks that a configuration can serve that kind of URL.
func serverTLS(cfg *tls.Config, kind string) error {
	if cfg == nil {
		return &ConfigError{Field: "Config.TLS", Problem: "is nil, " + kind + ":// needs a certificate"}
	}
	if len(cfg.Certificates) == 0 && cfg.GetCertificate == nil && cfg.GetConfigForClient == nil {
		return &ConfigError{Field: "Config.TLS", Problem: "has no certificate, " + kind + ":// needs one"}
	}
	return nil
}
