// SPDX-License-Identifier: Apache-2.0

// Command dubbo-echo is a provider and a consumer of dubbo-go, with a direct URL and the dubbo protocol. The consumer
// takes commands on its standard input: "calls N W" makes N calls from W goroutines, "until" calls until one succeeds.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/logger"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/proxy/proxy_factory"
	getty "github.com/apache/dubbo-getty"
)

const service = "getty.Echo"

// Echo is the service, which has to be exported.
type Echo struct{}

func (*Echo) Echo(_ context.Context, text string) (string, error) { return text, nil }

func main() {
	address := flag.String("address", "", "of the provider")
	provide := flag.Bool("provide", false, "be the provider")
	flag.Parse()
	logger.SetLoggerLevel("error")
	if err := getty.SetLoggerLevel(getty.LoggerLevelError); err != nil {
		log.Fatal(err)
	}
	url, err := common.NewURL("dubbo://" + *address + "/" + service + "?interface=" + service + "&timeout=20000")
	if err != nil {
		log.Fatal(err)
	}
	if !*provide {
		consume(url)
		return
	}
	if _, err := common.ServiceMap.Register(service, dubbo.DUBBO, "", "", &Echo{}); err != nil {
		log.Fatal(err)
	}
	dubbo.GetProtocol().Export(&proxy_factory.ProxyInvoker{BaseInvoker: *base.NewBaseInvoker(url)})
	fmt.Println("> provides")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func consume(url *common.URL) {
	invoker := dubbo.GetProtocol().Refer(url)
	if invoker == nil {
		log.Fatal("no provider")
	}
	fmt.Println("> consumes")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var calls, workers int
		answer := any(nil)
		if n, _ := fmt.Sscanf(in.Text(), "calls %d %d", &calls, &workers); n == 2 {
			answer = many(invoker, calls, workers)
		} else {
			answer = until(invoker)
		}
		text, err := json.Marshal(answer)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("> %s\n", text)
	}
}

// call makes a call with a text of 20 bytes, and tells whether it came back.
func call(invoker base.Invoker, id int64) (got, want string, err error) {
	want = fmt.Sprintf("%020d", id)
	inv := invocation.NewRPCInvocationWithOptions(
		invocation.WithMethodName("Echo"), invocation.WithArguments([]any{want}), invocation.WithReply(&got),
		invocation.WithAttachments(map[string]any{}))
	err = invoker.Invoke(context.Background(), inv).Error()
	return got, want, err
}

// outcome is that of many calls.
type outcome struct {
	Good, Wrong, Failed int64
	Error               string // one of them
	Rate                float64
	Slowest             time.Duration
}

func many(invoker base.Invoker, calls, workers int) (o outcome) {
	var id atomic.Int64
	var mu sync.Mutex
	var group sync.WaitGroup
	began := time.Now()
	for range workers {
		group.Go(func() {
			for n := id.Add(1); n <= int64(calls); n = id.Add(1) {
				began := time.Now()
				got, want, err := call(invoker, n)
				took := time.Since(began)
				mu.Lock()
				o.Slowest = max(o.Slowest, took)
				switch {
				case err != nil:
					o.Failed++
					o.Error = err.Error()
				case got != want:
					o.Wrong++
				default:
					o.Good++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	o.Rate = float64(calls) / time.Since(began).Seconds()
	return o
}

// first is the first good call.
type first struct {
	Failed int
	After  time.Duration
}

func until(invoker base.Invoker) (f first) {
	began := time.Now()
	for id := int64(1); ; id++ {
		if got, want, err := call(invoker, id); err == nil && got == want {
			f.After = time.Since(began)
			return f
		}
		f.Failed++
		time.Sleep(10 * time.Millisecond)
	}
}
