// SPDX-License-Identifier: Apache-2.0

// Package memio stands in for a module that the proxy does not have: seata-go names it and uses nothing of it.
package memio
