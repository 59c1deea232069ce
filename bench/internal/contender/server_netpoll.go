// SPDX-License-Identifier: Apache-2.0

//go:build !single || netpoll

package contender

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/cloudwego/netpoll"
)

func init() {
	starters["netpoll"] = startNetpoll
}

// netpollServer uses the zero-copy reader and writer, and flushes once for what arrived together.
type netpollServer struct {
	net.Listener
	loop netpoll.EventLoop
}

func startNetpoll(Options) (Server, error) {
	if err := netpoll.Configure(netpoll.Config{LoggerOutput: io.Discard}); err != nil {
		return nil, fmt.Errorf("netpoll: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	loop, err := netpoll.NewEventLoop(netpollRequest)
	if err != nil {
		return nil, fmt.Errorf("netpoll: %w", err)
	}
	go func() { _ = loop.Serve(l) }()
	return &netpollServer{l, loop}, nil
}

// netpollRequest answers frames until the buffer is empty. It must not return with bytes unread, or netpoll calls
// it again at once; the reader waits for the rest of an incomplete frame instead.
func netpollRequest(_ context.Context, c netpoll.Connection) error {
	r, w := c.Reader(), c.Writer()
	for r.Len() > 0 {
		data, err := r.Peek(r.Len())
		if err != nil {
			return err
		}
		used, need, err := measure(data)
		if err != nil {
			return c.Close()
		}
		if used == 0 {
			if _, err := r.Peek(need); err != nil {
				return err
			}
			continue
		}
		out, err := w.Malloc(used)
		if err != nil {
			return err
		}
		if _, _, err := answerAll(out[:0], data[:used]); err != nil {
			return err
		}
		if err := r.Skip(used); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if err := r.Release(); err != nil {
			return err
		}
	}
	return nil
}

// measure returns the bytes of the complete frames at the start of data, and the bytes that the next one needs.
func measure(data []byte) (used, need int, err error) {
	for {
		_, size, err := next(data[used:])
		if err != nil {
			return used, 0, err
		}
		if size == 0 {
			break
		}
		used += size
	}
	need = header
	if rest := data[used:]; len(rest) >= header {
		need += int(binary.BigEndian.Uint32(rest))
	}
	return used, need, nil
}

func (s *netpollServer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.loop.Shutdown(ctx)
	return nil
}
