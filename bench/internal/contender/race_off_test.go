// SPDX-License-Identifier: Apache-2.0

//go:build !race

package contender_test

const raceEnabled = false
