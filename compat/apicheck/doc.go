// SPDX-License-Identifier: Apache-2.0

// Package apicheck compares the exported API of the drop-in, compat/dubbogetty,
// with that of github.com/apache/dubbo-getty v1.5.0. It is a module of its own
// since a module cannot require the path that it has itself: this one requires
// the original, and finds ours by its directory. Test it with -count=1: the go
// command does not see that another module has changed.
package apicheck

import _ "github.com/apache/dubbo-getty" // keeps the original required
