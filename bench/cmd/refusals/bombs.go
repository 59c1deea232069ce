// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/getty-net/getty"
)

// bombSize is what a bomb becomes: zeros.
const bombSize = 64 << 20

// bomb is a message that is refused for what it becomes in relation to its size,
// or, without a ratio, for the size that it announces.
func bomb(name string, how getty.Compression, ratio int, payload func(announced uint32) []byte) kind {
	k := kind{
		want: tooLong,
		cfg:  with(getty.Config{CloseTimeout: moment, Compression: how.Raw(), Limits: getty.Limits{MaxExpansion: ratio}}),
	}
	if ratio > 0 {
		k.name = fmt.Sprintf("%s, by ratio (%d)", name, ratio)
		k.sends = func() []byte { return payload(1 << 19) }
	} else {
		k.name = name + ", by size (1 MiB)"
		k.sends = func() []byte { return payload(bombSize) }
	}
	return k
}

// plaintext is a message of zeros that announces a size.
func plaintext(announced uint32) []byte {
	return append(binary.BigEndian.AppendUint32(nil, announced), make([]byte, bombSize)...)
}

func flateBomb(announced uint32) []byte { return deflate(plaintext(announced)) }

// deflate ends in a sync flush.
func deflate(p []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // the level is valid
	_, _ = w.Write(p)
	_ = w.Flush()
	return b.Bytes()
}

// zstdBomb is a sequence of the largest frames that are taken.
func zstdBomb(announced uint32) (all []byte) {
	e, _ := zstd.NewWriter(nil) // there is no option
	for p := plaintext(announced); len(p) > 0; {
		n := min(len(p), 128<<10)
		all = e.EncodeAll(p[:n], all)
		p = p[n:]
	}
	return all
}

func snappyBomb(announced uint32) []byte {
	var b bytes.Buffer
	w := snappy.NewBufferedWriter(&b)
	_, _ = w.Write(plaintext(announced))
	_ = w.Close()
	return b.Bytes()
}

// webSocketBomb is one in a single compressed message.
func webSocketBomb(ratio int) kind {
	k := kind{
		name: "a WebSocket bomb of 64 MB, by size (1 MiB)", want: tooLong, url: overWS,
		cfg: with(getty.Config{
			CloseTimeout: moment, WebSocket: getty.WebSocketConfig{Deflate: getty.Deflate{Enabled: true}},
			Limits: getty.Limits{MaxExpansion: ratio},
		}),
		sends: func() []byte {
			payload := bytes.TrimSuffix(deflate(plaintext(bombSize)), []byte("\x00\x00\xff\xff"))
			p := append([]byte(upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\n")), 0xc2, 0xff)
			p = binary.BigEndian.AppendUint64(p, uint64(len(payload)))
			return append(append(p, 0, 0, 0, 0), payload...) // a mask of zeros
		},
	}
	if ratio > 0 {
		k.name = fmt.Sprintf("a WebSocket bomb of 64 MB, by ratio (%d)", ratio)
	}
	return k
}

// upgrade is the request of a WebSocket handshake, with more of a header.
func upgrade(header string) string {
	return "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + header + "\r\n"
}

func longHead() []byte {
	return []byte(upgrade("X: " + strings.Repeat("x", getty.DefaultMaxHeaderBytes) + "\r\n"))
}
