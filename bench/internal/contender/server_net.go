// SPDX-License-Identifier: Apache-2.0

package contender

import (
	"bufio"
	"encoding/binary"
	"net"
)

// netServer is what one writes without a library: a goroutine per connection, a buffered reader, and answers
// collected while more complete frames are buffered already.
type netServer struct {
	net.Listener
	body int
}

func startNet(opts Options) (Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &netServer{l, opts.Body}
	go s.accept()
	return s, nil
}

func (s *netServer) accept() {
	for {
		c, err := s.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = s.serve(c)
		}()
	}
}

// serve echoes. The reader's buffer is bufio's usual 4 KiB, or has room for the frames that are
// pipelined.
func (s *netServer) serve(c net.Conn) error {
	r := bufio.NewReaderSize(c, max(4096, 16*(header+s.body)))
	for {
		if err := awaitFrame(r); err != nil {
			return err
		}
		if err := answerBuffered(c, r); err != nil {
			return err
		}
	}
}

// answerBuffered answers all complete frames at once, out of the reader's own buffer.
func answerBuffered(c net.Conn, r *bufio.Reader) error {
	data, err := r.Peek(r.Buffered())
	if err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	out, used, err := answerAll((*buf)[:0], data)
	if err != nil {
		return err
	}
	*buf = out
	if _, err := c.Write(out); err != nil {
		return err
	}
	_, err = r.Discard(used)
	return err
}

// awaitFrame reads until the buffer starts with a complete frame.
func awaitFrame(r *bufio.Reader) error {
	head, err := r.Peek(header)
	if err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint32(head))
	if header+n > r.Size() {
		return errTooLong
	}
	_, err = r.Peek(header + n)
	return err
}
