// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// serveBare is the least that a server on package net can do about peers that
// say nothing: a goroutine for each, a deadline, a close.
func serveBare() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var ended atomic.Int64
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return // closed below
			}
			go func() {
				_ = nc.SetReadDeadline(time.Now().Add(moment))
				_, _ = nc.Read(make([]byte, 512))
				_ = nc.Close()
				ended.Add(1)
			}()
		}
	}()
	fmt.Println(l.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		n := ended.Load()
		fmt.Println(cpuTime().Nanoseconds(), n, n)
	}
	return l.Close()
}
