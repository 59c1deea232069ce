// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wallClock are the names by which a time loses its monotonic reading or is made
// without one, so that a step of the wall clock would move a deadline. Methods
// are told by name: no function of the library that is called may have it.
var wallClock = struct{ methods, functions []string }{
	methods: []string{
		"AddDate", "In", "Local", "Round", "Truncate", "UTC", "Unix", "UnixMicro", "UnixMilli", "UnixNano",
		"AppendBinary", "AppendFormat", "Format", "GobEncode", "MarshalBinary", "MarshalJSON", "MarshalText",
		"Clock", "Date", "Day", "Hour", "ISOWeek", "Minute", "Month", "Nanosecond", "Second", "Weekday", "Year", "YearDay",
	},
	functions: []string{
		"time.Date", "time.Parse", "time.ParseInLocation", "time.Unix", "time.UnixMicro", "time.UnixMilli",
		"syscall.Gettimeofday", "unix.ClockGettime", "unix.Gettimeofday",
	},
}

// TestNoWallClock: limits of time are kept by the monotonic clock, for which
// nothing in the library, its logs included, asks a time for its date.
func TestNoWallClock(t *testing.T) {
	files := 0
	for _, root := range []string{".", "codec", "gettytest", "internal"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && root == "." && path != ".":
				return filepath.SkipDir
			case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			files++
			for _, use := range wallClockUses(t, path, nil) {
				t.Error(use)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 50 {
		t.Errorf("only %d files were read", files)
	}
}

// TestWallClockIsFound: the test above would see it.
func TestWallClockIsFound(t *testing.T) {
	const head = "package p\nimport \"time\"\nvar t, d = time.Now(), time.Second\n"
	for code, want := range map[string]bool{
		"var x = t.Round(0)":                                  true,
		"var x = time.Unix(0, t.UnixNano())":                  true,
		"var x = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)": true,
		"var x = time.Now().UTC().Add(d)":                     true,
		"var x = t.AddDate(0, 0, 1)":                          true,
		"var f = time.Unix":                                   true,
		"var x = time.Until(t.Add(d)) + time.Since(t)":        false,
		"var x = t.Sub(t) > d && t.Before(t)":                 false,
	} {
		if uses := wallClockUses(t, "p.go", head+code); len(uses) > 0 != want {
			t.Errorf("%s: found %q, want any: %v", code, uses, want)
		}
	}
}

// wallClockUses reads a file, or source if that is not nil.
func wallClockUses(t *testing.T, path string, source any) (uses []string) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		name, called := "", false
		if call, ok := n.(*ast.CallExpr); ok {
			n, called = call.Fun, true
		}
		if sel, ok := n.(*ast.SelectorExpr); ok {
			name = sel.Sel.Name
			if x, ok := sel.X.(*ast.Ident); ok && !called {
				name = x.Name + "." + name
			}
		}
		if called && slices.Contains(wallClock.methods, name) || slices.Contains(wallClock.functions, name) {
			uses = append(uses, fmt.Sprintf("%s: %s", fset.Position(n.Pos()), name))
		}
		return true
	})
	return uses
}
