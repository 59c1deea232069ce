// SPDX-License-Identifier: Apache-2.0

package getty

import gxtime "github.com/dubbogo/gost/time"

// The original starts gost's timer wheel for its own sake, and dubbo-go uses it
// without starting it: importing getty has to be enough. Nothing here needs it.
func init() { gxtime.InitDefaultTimerWheel() }
