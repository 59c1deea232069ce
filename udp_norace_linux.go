// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64) && !race && !getty_portable

package getty

func raceSent()     {}
func raceReceived() {}
