// SPDX-License-Identifier: Apache-2.0

// Package contender has the echo servers that are compared: the same protocol, written in each library the way
// its documentation recommends.
//
// The rules are the same for all. A server takes each frame apart (a 4-byte big-endian length, then the body) and
// answers it with a newly encoded frame. It may merge the answers to what arrived together, as far as its library
// does so by itself or offers a way that a careful user would take. It knows beforehand how long the bodies are
// and may size its buffers by that, unless it manages them itself. A WebSocket server answers each binary message with
// one, a UDP server each packet, with the buffers that are its library's defaults.
package contender

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
)

const header = 4

// udpBuffer is the kernel's receive buffer of each UDP socket: the usual one has room for few small packets.
const udpBuffer = 4 << 20

// maxBody bounds what a length prefix may announce, in every contender.
const maxBody = 1 << 20

var errTooLong = errors.New("frame too long")

// Options is what a server is told at start.
type Options struct {
	Body    int  // bytes of the bodies to come
	Deflate bool // compress the messages of WebSocket, without context takeover
}

// window is how many bytes are worth reading at once: the libraries' usual 64 KiB, or more if that would cut
// pipelined frames apart.
func (o Options) window() int { return max(64<<10, 16*(header+o.Body)) }

// Server is a running echo server.
type Server interface {
	// Close stops it.
	io.Closer
	// Addr is where it listens.
	Addr() net.Addr
}

// starters maps the names to functions that start a server on a free port of the loopback. The libraries enter
// themselves, so that the build tags "single" and its own name leave just one of them in the binary: dubbo-getty
// wakes any process that it is linked into a hundred times a second, and others start goroutines, too.
var starters = map[string]func(Options) (Server, error){
	"net":     startNet,
	"tls-net": startTLSNet,
	"udp-net": startUDPNet,
}

// Start starts the named contender.
func Start(name string, opts Options) (Server, error) {
	start, ok := starters[name]
	if !ok {
		return nil, fmt.Errorf("no contender %q, there are %v", name, Names())
	}
	return start(opts)
}

// Names lists the contenders.
func Names() []string { return slices.Sorted(maps.Keys(starters)) }

// next returns the first body in data and the size of its frame, or size 0 if it is not complete yet.
func next(data []byte) (body []byte, size int, err error) {
	if len(data) < header {
		return nil, 0, nil
	}
	n := int(binary.BigEndian.Uint32(data))
	if n > maxBody {
		return nil, 0, errTooLong
	}
	if len(data) < header+n {
		return nil, 0, nil
	}
	return data[header : header+n], header + n, nil
}

// appendFrame encodes body behind dst.
func appendFrame(dst, body []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body))) //nolint:gosec // in range
	return append(dst, body...)
}

// answerAll encodes the answers to all complete frames in data behind out, and returns how many bytes of data
// they were.
func answerAll(out, data []byte) (answers []byte, used int, err error) {
	for {
		body, size, err := next(data[used:])
		if err != nil || size == 0 {
			return out, used, err
		}
		out = appendFrame(out, body)
		used += size
	}
}

// buffers are shared by the connections of a server: answers live only until they have been written, and a buffer
// that was just used is in the processor's cache.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// fill moves to rest, which starts with an incomplete frame, what that frame lacks, as far as data has it. So only
// the frame that was cut is copied, not what came with its other half.
func fill(rest, data []byte) (newRest, newData []byte) {
	for {
		need := header
		if len(rest) >= header {
			need += min(int(binary.BigEndian.Uint32(rest)), maxBody+1)
		}
		n := min(need-len(rest), len(data))
		if n <= 0 {
			return rest, data
		}
		rest, data = append(rest, data[:n]...), data[n:]
	}
}

// freePort finds a port for libraries that cannot be asked which one they got.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
