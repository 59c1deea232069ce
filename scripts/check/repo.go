// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)
	allocTest  = regexp.MustCompile(`(?m)^func Test\w*Alloc\w*\(\w+ \*testing\.T\)`)
)

// repo is what the steps need to know of the files. Paths are relative to its root, with slashes.
type repo struct {
	root    string
	modules []string // directories that have a go.mod
	files   []goFile
}

type goFile struct {
	path, module, text string
}

func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// scan reads all Go files, except for those that the go command does not look at either.
func scan(root string) (repo, error) {
	r := repo{root: root}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && ignored(d.Name()):
			return fs.SkipDir
		case d.Name() == "go.mod":
			r.modules = append(r.modules, filepath.ToSlash(filepath.Dir(path)))
		case strings.HasSuffix(path, ".go") && d.Type().IsRegular():
			text, err := os.ReadFile(filepath.Join(root, path)) //nolint:gosec // named by who started this
			if err != nil {
				return err
			}
			r.files = append(r.files, goFile{path: path, text: string(text)})
		}
		return nil
	})
	for i := range r.files {
		r.files[i].module = r.moduleOf(r.files[i].path)
	}
	slices.Sort(r.modules)
	return r, err
}

func ignored(dir string) bool {
	return dir[0] == '.' || dir[0] == '_' || slices.Contains([]string{"bin", "node_modules", "testdata", "vendor"}, dir)
}

// moduleOf is the innermost module that has the file.
func (r repo) moduleOf(path string) string {
	best := "."
	for _, m := range r.modules {
		if strings.HasPrefix(path, m+"/") && (best == "." || len(m) > len(best)) {
			best = m
		}
	}
	return best
}

// hasAllocTests tells whether a module has tests that count allocations.
func (r repo) hasAllocTests(module string) bool {
	return slices.ContainsFunc(r.files, func(f goFile) bool {
		return f.module == module && f.isTest() && allocTest.MatchString(f.text)
	})
}

// fuzz is a fuzz target in a directory of a module.
type fuzz struct {
	module, dir, name string
}

func (r repo) fuzzTargets() []fuzz {
	var all []fuzz
	for _, f := range r.files {
		if !f.isTest() {
			continue
		}
		for _, m := range fuzzTarget.FindAllStringSubmatch(f.text, -1) {
			all = append(all, fuzz{f.module, filepath.ToSlash(filepath.Dir(f.path)), m[1]})
		}
	}
	return all
}
