// SPDX-License-Identifier: Apache-2.0

// Package consumers has tests only: programs that were written for dubbo-getty, built with the drop-in in its place.
// They are downloaded through the module proxy, copied, given the replace lines that docs/migrating.md tells users to
// write, and nothing else. What their own tests say is compared with what they say on the original, which
// docs/consumers.md lists.
//
// The same on the original, for comparison; what fails is then told and not counted:
//
//	go test -v -args -original=v1.5.0
//	go test -v -args -original=required
//
// They take minutes, and are left out by -short.
package consumers
