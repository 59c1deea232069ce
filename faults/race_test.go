// SPDX-License-Identifier: Apache-2.0

//go:build race

package faults_test

import "time"

// realUnit is the unit of all limits in real time, realSlop what a busy machine
// may need besides.
const (
	realUnit = 5 * time.Second / 2
	realSlop = 10 * time.Second
)
