// SPDX-License-Identifier: Apache-2.0

package codec

// Limits that only gigabytes of message, or a 32-bit machine, would reach through the exported names.
var (
	AddLength   = addLength
	CheckVarint = checkVarint
)
