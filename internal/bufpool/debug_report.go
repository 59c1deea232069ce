// SPDX-License-Identifier: Apache-2.0

//go:build getty_debug

package bufpool

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// maxReports bounds what Verify says about one kind of fault.
const maxReports = 8

// Verify reports all faults found so far, also those whose panic somebody has
// recovered, what was written to since it was given back, and what is still
// lent. It is called when nothing is in use any more.
func Verify() error {
	books.mu.Lock()
	defer books.mu.Unlock()
	errs := few(books.faults)
	var touched, lost []string
	for _, kept := range books.kept {
		for _, b := range kept {
			if !b.untouched() {
				touched = append(touched, describe("a buffer was written to after it had been given back", b))
			}
		}
	}
	for b := range books.lent {
		lost = append(lost, describe("a buffer was lent and has not come back", b))
	}
	return errors.Join(append(append(errs, few(touched)...), few(lost)...)...)
}

func few(reports []string) (errs []error) {
	for _, r := range reports[:min(len(reports), maxReports)] {
		errs = append(errs, errors.New(r))
	}
	if more := len(reports) - maxReports; more > 0 {
		errs = append(errs, fmt.Errorf("bufpool: and %d more", more))
	}
	return errs
}

// fault notes what is about to be panicked with. It is called with mu held.
func fault(what string, b *Buf, who string, now stack) string {
	text := describe(what, b) + section(who, now)
	books.faults = append(books.faults, text)
	return text
}

func describe(what string, b *Buf) string {
	text := "bufpool: " + what + section("lent to", b.got)
	if !b.lent {
		text += section("given back by", b.put)
	}
	return text
}

func section(title string, s stack) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s:", title)
	frames := runtime.CallersFrames(s[:])
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); f.Function != "" {
			fmt.Fprintf(&b, "\n\t%s\n\t\t%s:%d", f.Function, f.File, f.Line)
		}
	}
	return b.String()
}
