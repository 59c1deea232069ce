// SPDX-License-Identifier: Apache-2.0

// Command pool runs a pooled client until its standard input ends.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/getty-net/getty/bench/internal/pool"
)

func main() {
	impl := flag.String("impl", "dubbogetty", "library of the client")
	addr := flag.String("addr", "", "address of the server")
	size := flag.Int("size", 16, "connections")
	flag.Parse()
	if _, err := pool.Start(*impl, *addr, *size); err != nil {
		fmt.Fprintln(os.Stderr, "pool:", err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}
