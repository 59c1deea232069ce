// SPDX-License-Identifier: Apache-2.0

//go:build !getty_portable

package getty

// sysSendmmsg is the number of sendmmsg(2), which package syscall does not have.
const sysSendmmsg = 307
