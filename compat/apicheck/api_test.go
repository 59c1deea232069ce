// SPDX-License-Identifier: Apache-2.0

package apicheck

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestSameAPI: nothing of the original's API is missing or different in ours,
// and nothing is there besides.
func TestSameAPI(t *testing.T) {
	original := must[*types.Package](t)(load("."))
	ours := must[*types.Package](t)(load("../dubbogetty"))
	want, got := describe(original), describe(ours)
	missing, added := difference(want, got)
	for _, l := range missing {
		t.Errorf("missing: %s", l)
	}
	for _, l := range added {
		t.Errorf("added: %s", l)
	}
	if len(want) < 150 {
		t.Errorf("only %d lines were compared", len(want))
	}
}

// TestInterfacesBothWays: what implements an interface of one implements that
// of the other, which is what mocks rely on.
func TestInterfacesBothWays(t *testing.T) {
	original := must[*types.Package](t)(load("."))
	ours := must[*types.Package](t)(load("../dubbogetty"))
	methods := func(p *types.Package, name string) []string {
		var names []string
		u := p.Scope().Lookup(name).Type().Underlying().(*types.Interface)
		for m := range u.Methods() {
			names = append(names, m.Name()+text(m.Signature()))
		}
		slices.Sort(names)
		return names
	}
	count := 0
	for _, name := range original.Scope().Names() {
		obj := original.Scope().Lookup(name)
		if !obj.Exported() || !types.IsInterface(obj.Type()) {
			continue
		}
		count++
		if a, b := methods(original, name), methods(ours, name); !slices.Equal(a, b) {
			t.Errorf("%s has the methods %q, want %q", name, b, a)
		}
	}
	if count < 12 {
		t.Errorf("only %d interfaces were compared", count)
	}
}

// TestMutations: the comparison notices every kind of difference.
func TestMutations(t *testing.T) {
	const source = `package p
		type T int
		const (C T = 1; U = 2)
		var V error
		func F(a int, b ...string) error { return nil }
		type S struct { A int; b int }
		func (s *S) M() {}
		func (s S) N() {}
		type I interface { P(int) string }
		type Fn func(S) error
		type Al = int32`
	base := describe(check(t, source))
	for _, c := range []struct{ what, old, changed string }{
		{"a constant's value", "C T = 1", "C T = 3"},
		{"a constant's type", "U = 2", "U T = 2"},
		{"a constant that is typed no more", "C T = 1", "C = 1"},
		{"a float for an integer", "U = 2", "U = 2.0"},
		{"a missing constant", "; U = 2", ""},
		{"a variable's type", "V error", "V any"},
		{"a parameter", "F(a int", "F(a int64"},
		{"variadic", "b ...string", "b []string"},
		{"a result", "string) error {", "string) (err any) {"},
		{"a function more", "type T int", "type T int; func G() {}"},
		{"a field more", "A int", "A int; X int"},
		{"a field's type", "A int", "A uint"},
		{"a field's place", "A int; b int", "b int; A int"},
		{"a field's tag", "A int", "A int `json:\"a\"`"},
		{"a struct that cannot be compared", "b int }", "b []int }"},
		{"a field embedded", "A int", "A int; T"},
		{"a method of the value", "(s *S) M", "(s S) M"},
		{"a method of the pointer", "(s S) N", "(s *S) N"},
		{"a method less", "func (s S) N() {}", ""},
		{"an interface's method more", "P(int) string", "P(int) string; Q()"},
		{"an interface's unexported method", "P(int) string", "P(int) string; q()"},
		{"an interface's method less", "P(int) string", ""},
		{"a function type", "func(S) error", "func(*S) error"},
		{"an alias that is a type", "type Al = int32", "type Al int32"},
	} {
		if !strings.Contains(source, c.old) {
			t.Fatalf("%s: %q is not in the source", c.what, c.old)
		}
		missing, added := difference(base, describe(check(t, strings.Replace(source, c.old, c.changed, 1))))
		if len(missing)+len(added) == 0 {
			t.Errorf("%s goes unnoticed", c.what)
		}
	}
	same := strings.NewReplacer("a int", "z int", "b int }", "c int }").Replace(source)
	if missing, added := difference(base, describe(check(t, same))); len(missing)+len(added) > 0 {
		t.Errorf("names that nobody can use differ: %q, %q", missing, added)
	}
}

// TestForeignMutations: so it does in types of other modules.
func TestForeignMutations(t *testing.T) {
	const (
		user  = `package p; import q "example.org/q"; func F(...*q.I) {}; type S struct { Q map[string]q.T }`
		other = `package q; type I interface { P(int) }; type T struct { A int }; type Unused int`
	)
	describe := func(other string) []string {
		t.Helper()
		q := checkAs(t, "example.org/q", other, nil)
		return describe(checkAs(t, "p", user, packages{q.Path(): q}))
	}
	base := describe(other)
	for _, c := range []struct {
		old, changed string
		same         bool
	}{
		{"P(int)", "P(int); Q()", false},
		{"P(int)", "P(uint)", false},
		{"A int", "A string", false},
		{"Unused int", "Unused string", true},
	} {
		missing, added := difference(base, describe(strings.Replace(other, c.old, c.changed, 1)))
		if (len(missing)+len(added) == 0) != c.same {
			t.Errorf("%s for %s: %q missing, %q added", c.changed, c.old, missing, added)
		}
	}
}

// packages imports what it has.
type packages map[string]*types.Package

func (p packages) Import(path string) (*types.Package, error) { return p[path], nil }

func check(t *testing.T, source string) *types.Package {
	t.Helper()
	return checkAs(t, "p", source, nil)
}

func checkAs(t *testing.T, path, source string, imports types.Importer) *types.Package {
	t.Helper()
	fset := token.NewFileSet()
	f := must[*ast.File](t)(parser.ParseFile(fset, "p.go", source, 0))
	cfg := types.Config{Importer: imports}
	return must[*types.Package](t)(cfg.Check(path, fset, []*ast.File{f}, nil))
}
