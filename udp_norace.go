// SPDX-License-Identifier: Apache-2.0

//go:build !unix || !race

package getty

// See udp_race_unix.go.
func raceSent()     {}
func raceReceived() {}
