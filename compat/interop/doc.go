// SPDX-License-Identifier: Apache-2.0

// Package interop tests the drop-in against the original over the wire: the
// program in peer is built twice from the same source, linked with ours by go.mod
// and with the original by original.mod, and each talks to the other. Test it
// with -count=1: the go command does not see that another module has changed.
package interop
