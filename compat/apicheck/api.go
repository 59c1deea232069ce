// SPDX-License-Identifier: Apache-2.0

package apicheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// path is the import path that both packages have.
const path = "github.com/apache/dubbo-getty"

// load type-checks the package as the module in dir sees it.
func load(dir string) (*types.Package, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export", path)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w", dir, err)
	}
	files := make(map[string]string)
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		files[p.ImportPath] = p.Export
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
	return importer.ForCompiler(token.NewFileSet(), "gc", open).Import(path)
}

// describe lists everything that users of a package can name, one line each:
// objects, values of constants, exported fields, methods, and, with what they
// consist of, the types of other modules that are a part of it.
func describe(p *types.Package) []string {
	d := describer{known: make(map[*types.TypeName]bool)}
	for _, name := range p.Scope().Names() {
		if obj := p.Scope().Lookup(name); obj.Exported() {
			d.object(obj)
		}
	}
	slices.Sort(d.lines)
	return slices.Compact(d.lines)
}

type describer struct {
	lines []string
	known map[*types.TypeName]bool
}

func (d *describer) add(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *describer) object(obj types.Object) {
	switch obj := obj.(type) {
	case *types.Const:
		d.add("const %s %s = %s", obj.Name(), text(obj.Type()), obj.Val().ExactString())
	case *types.TypeName:
		d.named(obj)
	case *types.Func:
		d.add("func %s %s", obj.Name(), text(obj.Signature()))
		d.foreign(obj.Signature())
	default:
		d.add("%s", types.ObjectString(obj, nil))
		d.foreign(obj.Type())
	}
}

// named describes a type with all that it has.
func (d *describer) named(obj *types.TypeName) {
	if d.known[obj] {
		return
	}
	d.known[obj] = true
	name := text(obj.Type())
	if obj.IsAlias() {
		d.add("type %s = %s", obj.Name(), text(types.Unalias(obj.Type())))
		return
	}
	switch u := obj.Type().Underlying().(type) {
	case *types.Struct:
		d.add("type %s struct, comparable %v", name, types.Comparable(u))
		for i := range u.NumFields() {
			if f := u.Field(i); f.Exported() { // with its place, which literals without names rely on
				d.add("field %s.%s %s, number %d, embedded %v, tag %q", name, f.Name(), text(f.Type()), i, f.Embedded(), u.Tag(i))
				d.foreign(f.Type())
			}
		}
	case *types.Interface:
		d.add("type %s interface", name)
	default:
		d.add("type %s %s", name, text(u))
	}
	// The methods of the pointer are all; which of them the value has as well
	// is in their receivers.
	methods := types.NewMethodSet(types.NewPointer(obj.Type()))
	if types.IsInterface(obj.Type()) {
		methods = types.NewMethodSet(obj.Type())
	}
	for m := range methods.Methods() {
		fn, ok := m.Obj().(*types.Func)
		if !ok || (!fn.Exported() && !types.IsInterface(obj.Type())) {
			continue
		}
		sig := fn.Signature()
		receiver := "value"
		if recv := sig.Recv(); recv != nil {
			if _, ptr := recv.Type().(*types.Pointer); ptr {
				receiver = "pointer"
			}
		}
		d.add("method %s.%s %s, of the %s", name, fn.Name(), text(sig), receiver)
		d.foreign(sig)
	}
}

// foreign describes the types of other modules that a type mentions.
func (d *describer) foreign(t types.Type) {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		if p := t.Obj().Pkg(); p != nil && strings.Contains(p.Path(), ".") {
			d.named(t.Obj())
		}
	case *types.Map:
		d.foreign(t.Key())
		d.foreign(t.Elem())
	case interface{ Elem() types.Type }: // pointers, slices, arrays, channels
		d.foreign(t.Elem())
	case *types.Signature:
		for v := range t.Params().Variables() {
			d.foreign(v.Type())
		}
		for v := range t.Results().Variables() {
			d.foreign(v.Type())
		}
	}
}

// text names a type with the whole paths of packages, and without the names of parameters.
func text(t types.Type) string {
	if sig, ok := t.(*types.Signature); ok {
		var in, out []string
		for v := range sig.Params().Variables() {
			in = append(in, text(v.Type()))
		}
		for v := range sig.Results().Variables() {
			out = append(out, text(v.Type()))
		}
		return fmt.Sprintf("func(%s) (%s), variadic %v", strings.Join(in, ", "), strings.Join(out, ", "), sig.Variadic())
	}
	return types.TypeString(t, nil)
}

// difference is what only one of two sorted lists has.
func difference(original, ours []string) (missing, added []string) {
	for _, l := range original {
		if _, found := slices.BinarySearch(ours, l); !found {
			missing = append(missing, l)
		}
	}
	for _, l := range ours {
		if _, found := slices.BinarySearch(original, l); !found {
			added = append(added, l)
		}
	}
	return missing, added
}
