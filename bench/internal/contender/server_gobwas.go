// SPDX-License-Identifier: Apache-2.0

//go:build !single || gobwas

package contender

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

func init() { enterWebSocket("gobwas", serveGobwas) }

func serveGobwas(l net.Listener, opts Options) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_ = echoGobwas(c, opts)
		}()
	}
}

// gobwasBuffers are what one message needs. The package itself reads and writes the conn directly, in three system
// calls for a message and two for an answer, unless one brings a buffer.
type gobwasBuffers struct {
	in       []byte
	out      bytes.Buffer
	unpacked bytes.Buffer
	packed   bytes.Buffer
	r        *wsflate.Reader
	w        *wsflate.Writer
}

var gobwasPool = sync.Pool{New: func() any {
	return &gobwasBuffers{
		r: wsflate.NewReader(nil, func(r io.Reader) wsflate.Decompressor { return flate.NewReader(r) }),
		w: wsflate.NewWriter(nil, func(w io.Writer) wsflate.Compressor {
			f, _ := flate.NewWriter(w, flate.BestSpeed) // fails for other levels only
			return f
		}),
	}
}}

func echoGobwas(c net.Conn, opts Options) error {
	var u ws.Upgrader
	if opts.Deflate {
		e := wsflate.Extension{Parameters: wsflate.DefaultParameters}
		u.Negotiate = e.Negotiate
	}
	if _, err := u.Upgrade(c); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	for {
		h, err := ws.ReadHeader(r)
		if err != nil {
			return err
		}
		if h.OpCode == ws.OpClose || h.Length > maxBody || !h.Fin {
			return errors.New("not a message of the benchmark")
		}
		b := gobwasPool.Get().(*gobwasBuffers)
		err = b.answer(c, r, h)
		gobwasPool.Put(b)
		if err != nil {
			return err
		}
	}
}

// answer reads the message behind its header and echoes it with one write.
func (b *gobwasBuffers) answer(c net.Conn, r io.Reader, h ws.Header) error {
	if cap(b.in) < int(h.Length) {
		b.in = make([]byte, h.Length)
	}
	message := b.in[:h.Length]
	if _, err := io.ReadFull(r, message); err != nil {
		return err
	}
	ws.Cipher(message, h.Mask, 0)
	answer := ws.NewBinaryFrame(message)
	h, compressed, err := wsflate.UnsetBit(h)
	if err != nil {
		return err
	}
	if compressed {
		if answer, err = b.recompress(message); err != nil {
			return err
		}
	}
	b.out.Reset()
	if err := ws.WriteFrame(&b.out, answer); err != nil {
		return err
	}
	_, err = c.Write(b.out.Bytes())
	return err
}

func (b *gobwasBuffers) recompress(message []byte) (f ws.Frame, err error) {
	b.unpacked.Reset()
	b.r.Reset(bytes.NewReader(message))
	if _, err = b.unpacked.ReadFrom(b.r); err != nil {
		return f, err
	}
	b.packed.Reset()
	b.w.Reset(&b.packed)
	if _, err = b.w.Write(b.unpacked.Bytes()); err == nil {
		err = b.w.Flush()
	}
	f = ws.NewBinaryFrame(b.packed.Bytes())
	if err == nil {
		f.Header, err = wsflate.SetBit(f.Header)
	}
	return f, err
}
