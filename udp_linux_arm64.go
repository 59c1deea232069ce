// SPDX-License-Identifier: Apache-2.0

//go:build !getty_portable

package getty

import "syscall"

// sysSendmmsg is the number of sendmmsg(2).
const sysSendmmsg = syscall.SYS_SENDMMSG
