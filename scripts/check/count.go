// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
}

// test is a test, or with an empty name what a package says outside of tests.
type test struct {
	pkg, name string
}

// parent is the test that has started this one, or the package.
func (t test) parent() test {
	return test{t.pkg, t.name[:max(strings.LastIndexByte(t.name, '/'), 0)]}
}

// tally is what is known of the tests of one go test.
type tally struct {
	order    []test // a package comes before its tests
	verdicts map[test]string
	outputs  map[test]*strings.Builder
	others   strings.Builder // what compilers and the go command say
}

// count counts a test that has subtests only if it fails without one of them failing, and a package only if it fails
// without one of its tests failing: when it does not build, exits, or leaks. A test that does not end has failed.
func count(output string) result {
	t := tally{verdicts: map[test]string{}, outputs: map[test]*strings.Builder{}}
	for line := range strings.Lines(output) {
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			t.others.WriteString(line)
			continue
		}
		t.add(e)
	}
	return t.result()
}

// noise is what a test writes without having something to say.
var noise = regexp.MustCompile(`^=== (RUN|PAUSE|CONT|NAME) `)

func (t *tally) add(e event) {
	if e.Package == "" {
		t.others.WriteString(e.Output)
		return
	}
	key := test{e.Package, e.Test}
	if _, known := t.outputs[key]; !known {
		t.order = append(t.order, key)
		t.outputs[key] = new(strings.Builder)
	}
	switch e.Action {
	case "output":
		if !noise.MatchString(e.Output) {
			t.outputs[key].WriteString(e.Output)
		}
	case "pass", "fail", "skip":
		t.verdicts[key] = e.Action
	}
}

func (t *tally) result() result {
	var r result
	var outputs []string
	hasChild, failedInside := map[test]bool{}, map[test]bool{}
	for i := len(t.order) - 1; i >= 0; i-- { // children first
		key := t.order[i]
		verdict, isPackage := t.verdicts[key], key.name == ""
		leaf := !hasChild[key] && !isPackage
		if !isPackage {
			hasChild[key.parent()] = true
		}
		switch {
		case verdict == "skip" && leaf:
			r.skipped++
		case verdict == "pass" && leaf:
			r.passed++
		case verdict == "fail" || verdict == "" && !isPackage:
			if !failedInside[key] {
				r.failed++
			}
			failedInside[key.parent()] = true
			outputs = append(outputs, t.outputs[key].String())
		}
	}
	slices.Reverse(outputs)
	r.output = t.others.String() + strings.Join(outputs, "")
	return r
}
