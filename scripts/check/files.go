// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	maxLines     = 500
	maxTestLines = 900
	header       = "// SPDX-License-Identifier: Apache-2.0\n"
)

var (
	maxDocLines = map[string]int{"README.md": 160, "CONTRIBUTING.md": 60}
	generated   = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
)

// checkFiles looks at the length of files and at their licence line.
func checkFiles(r repo) func(context.Context, runner) result {
	return func(context.Context, runner) result {
		var wrong []string
		for name, limit := range maxDocLines {
			text, err := os.ReadFile(filepath.Join(r.root, name)) //nolint:gosec // named by who started this
			if errors.Is(err, fs.ErrNotExist) {
				wrong = append(wrong, name+": missing")
			} else if err != nil {
				wrong = append(wrong, err.Error())
			} else if n := strings.Count(string(text), "\n"); n > limit {
				wrong = append(wrong, fmt.Sprintf("%s: %d lines, the limit is %d", name, n, limit))
			}
		}
		for _, f := range r.files {
			wrong = append(wrong, f.check()...)
		}
		return verdict(len(wrong) == 0, strings.Join(wrong, "\n"))
	}
}

func (f goFile) check() (wrong []string) {
	if generated.MatchString(f.text) {
		return nil
	}
	limit := maxLines
	if f.isTest() {
		limit = maxTestLines
	}
	if n := strings.Count(f.text, "\n"); n > limit {
		wrong = append(wrong, fmt.Sprintf("%s: %d lines, the limit is %d", f.path, n, limit))
	}
	if !f.isTest() && !strings.HasPrefix(f.text, header) {
		wrong = append(wrong, fmt.Sprintf("%s: does not begin with %q", f.path, strings.TrimSpace(header)))
	}
	return wrong
}
