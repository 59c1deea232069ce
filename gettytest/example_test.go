// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

func ExampleNewPair() {
	t := new(exampleTB) // in a test: its *testing.T
	defer t.finish()

	server := &gettytest.Recorder[string]{
		OnMessageFunc: func(s *getty.Session[string], msg string) error { return s.Send("hello, " + msg) },
	}
	client := new(gettytest.Recorder[string])
	p := gettytest.NewPair(t, codec.Line{}, server, client, gettytest.Options{
		Faults: gettytest.Faults{Seed: 1, MaxRead: 3, MaxWrite: 2}, // frames come in crumbs
	})
	if err := p.Client.Send(t.Context(), "gopher"); err != nil {
		t.Fatalf("send: %v", err)
	}
	answers, err := client.WaitMessages(t.Context(), 1)
	fmt.Println(answers, err)
	// Output: [hello, gopher] <nil>
}

// exampleTB is a testing.TB for examples, which have none.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (*exampleTB) Helper()                           {}
func (*exampleTB) Context() context.Context          { return context.Background() }
func (t *exampleTB) Cleanup(f func())                { t.cleanups = append(t.cleanups, f) }
func (*exampleTB) Errorf(format string, args ...any) { fmt.Printf(format, args...) }
func (*exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *exampleTB) finish() {
	for _, f := range t.cleanups {
		f()
	}
}

func ExampleNetwork() {
	network := gettytest.NewNetwork(gettytest.Faults{Latency: time.Millisecond})
	ctx := context.Background()

	_, err := network.Dial(ctx, "tcp", "mem:80")
	fmt.Println("nobody listens:", errors.Is(err, syscall.ECONNREFUSED))

	l, err := network.Listen("mem:80")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	client, err := network.Dial(ctx, "tcp", "mem:80")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	_, _ = io.WriteString(client, "hello")
	_, err = io.ReadFull(server, make([]byte, 5))
	fmt.Println("connected:", err)

	network.Reset()
	_, err = server.Read(make([]byte, 1))
	fmt.Println("reset:", errors.Is(err, syscall.ECONNRESET))
	fmt.Println("open conns:", network.Conns())
	// Output:
	// nobody listens: true
	// connected: <nil>
	// reset: true
	// open conns: 1
}

func ExamplePipe() {
	client, server := gettytest.Pipe(gettytest.Faults{ResetAfter: 5})
	defer client.Close()
	defer server.Close()

	n, err := client.Write([]byte("hello, world"))
	fmt.Println(n, err)
	got, err := io.ReadAll(server)
	fmt.Println(string(got), errors.Is(err, syscall.ECONNRESET))
	// Output:
	// 5 write mem 192.0.2.1:1->mem:1: write: connection reset by peer
	// hello true
}
