// SPDX-License-Identifier: Apache-2.0

// Command server runs one contender. It prints the address it listens on, then answers the commands of package
// control until its standard input ends.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/getty-net/getty/bench/internal/contender"
	"github.com/getty-net/getty/bench/internal/control"
)

func main() {
	impl := flag.String("impl", "net", "one of "+strings.Join(contender.Names(), " "))
	body := flag.Int("body", 64, "bytes in the bodies to come, a hint for sizing buffers")
	deflate := flag.Bool("deflate", false, "compress the messages of WebSocket")
	flag.Parse()
	srv, err := contender.Start(*impl, contender.Options{Body: *body, Deflate: *deflate})
	if err == nil {
		fmt.Println(srv.Addr())
		// The server is not closed: the process ends here, and some contenders wait for their connections.
		err = control.Serve(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}
