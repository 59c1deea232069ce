// SPDX-License-Identifier: Apache-2.0

//go:build windows

package main

import "log"

func main() { log.Fatal("handing a listener over takes a Unix system") }
