// SPDX-License-Identifier: Apache-2.0

package getty

import gxtime "github.com/dubbogo/gost/time"

// Consumers use gost's default timer wheel without making it, since the original
// does so when it is linked in; dubbo-go and seata-go dereference nil otherwise.
// It wakes the process a hundred times a second.
func init() { gxtime.InitDefaultTimerWheel() }
