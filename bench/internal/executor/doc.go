// SPDX-License-Identifier: Apache-2.0

// Package executor tests getty with a worker pool that others wrote, in a module
// that may depend on it.
package executor
