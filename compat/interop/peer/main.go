// SPDX-License-Identifier: Apache-2.0

// Command peer is an echo server or a client that checks echoes, written against
// the API of dubbo-getty. A server prints its address and runs until its input
// ends; a client prints ok, or what went wrong.
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"time"

	getty "github.com/apache/dubbo-getty"
)

var (
	role      = flag.String("role", "server", "server or client")
	transport = flag.String("transport", "tcp", "tcp, tls, udp, ws or wss")
	addr      = flag.String("addr", "127.0.0.1:0", "where to listen or connect")
	compress  = flag.String("compress", "", "none, zip, speed, best, huffman or snappy; empty: SetCompressType is not called")
	dir       = flag.String("pki", "", "directory with ca.pem, cert.pem and key.pem")
	sizes     = flag.String("sizes", "0,1,100,3000,70000,200000", "lengths of the messages, of two for each")
)

var compressions = map[string]getty.CompressType{
	"none": getty.CompressNone, "zip": getty.CompressZip, "speed": getty.CompressBestSpeed,
	"best": getty.CompressBestCompression, "huffman": getty.CompressHuffman, "snappy": getty.CompressSnappy,
}

func main() {
	flag.Parse()
	if err := getty.SetLoggerLevel(getty.LoggerLevelFatal); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var err error
	if *role == "server" {
		err = serve()
	} else if err = ask(); err == nil {
		fmt.Println("ok")
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// frame is a codec of a length, a checksum and bytes.
type frame struct{}

const head = 8

func (frame) Read(_ getty.Session, data []byte) (interface{}, int, error) {
	if len(data) < head {
		return nil, 0, nil
	}
	n := head + int(binary.BigEndian.Uint32(data))
	if len(data) < n {
		return nil, n, nil
	}
	if crc32.ChecksumIEEE(data[head:n]) != binary.BigEndian.Uint32(data[4:]) {
		return nil, 0, errors.New("the checksum is wrong")
	}
	return append([]byte(nil), data[head:n]...), n, nil
}

func (frame) Write(_ getty.Session, pkg interface{}) ([]byte, error) {
	if ctx, ok := pkg.(getty.UDPContext); ok {
		pkg = ctx.Pkg
	}
	b := pkg.([]byte)
	out := binary.BigEndian.AppendUint32(nil, uint32(len(b))) //nolint:gosec // messages are short
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(b))
	return append(out, b...), nil
}

// events hands on what happens; a server's echo.
type events struct {
	echo     bool
	opened   chan getty.Session
	messages chan []byte
}

func (e *events) OnOpen(s getty.Session) error {
	if !e.echo {
		e.opened <- s
	}
	return nil
}
func (*events) OnClose(getty.Session)        {}
func (*events) OnError(getty.Session, error) {}
func (*events) OnCron(getty.Session)         {}

func (e *events) OnMessage(s getty.Session, pkg interface{}) {
	if e.echo {
		_, _, _ = s.WritePkg(pkg, time.Second)
		return
	}
	if ctx, ok := pkg.(getty.UDPContext); ok {
		pkg = ctx.Pkg
	}
	e.messages <- pkg.([]byte)
}

func setUp(e *events) getty.NewSessionCallback {
	return func(s getty.Session) error {
		if *compress != "" {
			s.SetCompressType(compressions[*compress])
		}
		s.SetPkgHandler(frame{})
		s.SetEventListener(e)
		s.SetMaxMsgLen(1 << 20)
		s.SetCronPeriod(100)
		s.SetReadTimeout(time.Second)
		s.SetWriteTimeout(5 * time.Second)
		s.SetWaitTime(time.Second)
		return nil
	}
}

func pem(name string) string { return *dir + "/" + name + ".pem" }

func serve() error {
	opts := []getty.ServerOption{getty.WithLocalAddress(*addr)}
	var s getty.Server
	switch *transport {
	case "tcp":
		s = getty.NewTCPServer(opts...)
	case "tls":
		s = getty.NewTCPServer(append(opts, getty.WithServerSslEnabled(true),
			getty.WithServerTlsConfigBuilder(&getty.ServerTlsConfigBuilder{
				ServerKeyCertChainPath: pem("cert"), ServerPrivateKeyPath: pem("key"), ServerTrustCertCollectionPath: pem("ca"),
			}))...)
	case "udp":
		s = getty.NewUDPEndPoint(opts...)
	case "ws":
		s = getty.NewWSServer(append(opts, getty.WithWebsocketServerPath("/echo"))...)
	case "wss":
		s = getty.NewWSSServer(append(opts, getty.WithWebsocketServerPath("/echo"),
			getty.WithWebsocketServerCert(pem("cert")), getty.WithWebsocketServerPrivateKey(pem("key")))...)
	}
	s.RunEventLoop(setUp(&events{echo: true}))
	if *transport == "udp" {
		fmt.Println(s.(getty.PacketServer).PacketConn().LocalAddr())
	} else {
		fmt.Println(s.(getty.StreamServer).Listener().Addr())
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func ask() error {
	opts := []getty.ClientOption{getty.WithConnectionNumber(1)}
	var c getty.Client
	switch *transport {
	case "tcp":
		c = getty.NewTCPClient(append(opts, getty.WithServerAddress(*addr))...)
	case "tls":
		c = getty.NewTCPClient(append(opts, getty.WithServerAddress(*addr), getty.WithClientSslEnabled(true),
			getty.WithClientTlsConfigBuilder(&getty.ClientTlsConfigBuilder{
				ClientKeyCertChainPath: pem("cert"), ClientPrivateKeyPath: pem("key"), ClientTrustCertCollectionPath: pem("ca"),
			}))...)
	case "udp":
		c = getty.NewUDPClient(append(opts, getty.WithServerAddress(*addr))...)
	case "ws":
		c = getty.NewWSClient(append(opts, getty.WithServerAddress("ws://"+*addr+"/echo"))...)
	case "wss":
		c = getty.NewWSSClient(append(opts, getty.WithServerAddress("wss://"+*addr+"/echo"),
			getty.WithRootCertificateFile(pem("ca")))...)
	}
	e := &events{opened: make(chan getty.Session, 9), messages: make(chan []byte, 100)}
	go c.RunEventLoop(setUp(e))
	select {
	case s := <-e.opened:
		return exchange(s, e.messages)
	case <-time.After(8 * time.Second):
		return errors.New("there is no session")
	}
}

// exchange sends two messages of each length, one that compresses well and one
// that does not, and waits for each echo.
func exchange(s getty.Session, echoes <-chan []byte) error {
	for field := range strings.SplitSeq(*sizes, ",") {
		var n int
		if _, err := fmt.Sscan(field, &n); err != nil {
			return err
		}
		noise := make([]byte, n)
		for i, x := 0, uint32(1); i < n; i++ {
			x = x*1664525 + 1013904223
			noise[i] = byte(x >> 24)
		}
		for _, text := range [][]byte{[]byte(strings.Repeat("x", n)), noise} {
			var pkg interface{} = text
			if *transport == "udp" {
				pkg = getty.UDPContext{Pkg: text}
			}
			if total, sent, err := s.WritePkg(pkg, time.Second); err != nil || total != n+head || sent != total {
				return fmt.Errorf("WritePkg of %d: %d, %d, %w", n, total, sent, err)
			}
			select {
			case echo := <-echoes:
				if string(echo) != string(text) {
					return fmt.Errorf("the echo of %d bytes is of %d, or different", n, len(echo))
				}
			case <-time.After(3 * time.Second):
				return fmt.Errorf("no echo of %d bytes", n)
			}
		}
	}
	return nil
}
