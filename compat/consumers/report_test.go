// SPDX-License-Identifier: Apache-2.0

package consumers_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// report is what the tests of one package have said. Subtests count as tests.
type report struct {
	verdicts map[string]string // pass, fail or skip, by test
	outputs  map[string]string // by test, with "" for what came from outside of tests
	all      strings.Builder
	failed   bool // the package as a whole
}

// parse takes go test -json apart, by package. Lines that are not JSON come from compilers.
func parse(output []byte) (reports map[string]*report, others string) {
	reports = map[string]*report{}
	for line := range strings.Lines(string(output)) {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal([]byte(line), &e) != nil || e.Package == "" {
			others += line
			continue
		}
		r := reports[e.Package]
		if r == nil {
			r = &report{verdicts: map[string]string{}, outputs: map[string]string{}}
			reports[e.Package] = r
		}
		switch e.Action {
		case "output":
			r.outputs[e.Test] += e.Output
			r.all.WriteString(e.Output)
		case "pass", "fail", "skip":
			if e.Test == "" {
				r.failed = e.Action == "fail"
				break
			}
			r.verdicts[e.Test] = e.Action
		}
	}
	return reports, others
}

// count tells how many tests had a verdict.
func (r *report) count(verdict string) (n int) {
	for _, v := range r.verdicts {
		if v == verdict {
			n++
		}
	}
	return n
}

// race is a report of the race detector: the stacks of the two accesses, as names of functions, innermost first.
type race struct {
	accesses [2][]string
	text     string
}

var (
	raceReport = regexp.MustCompile(`(?s)WARNING: DATA RACE\n.*?\n==================`)
	raceAccess = regexp.MustCompile(`(?m)^(?:Previous )?(?:[Rr]ead|[Ww]rite|[Aa]tomic \w+) at .*\n((?:  .*\n)+)`)
	raceFrame  = regexp.MustCompile(`(?m)^  (\S.*)\(\)$`)
)

func (r *report) races() (races []race) {
	for _, text := range raceReport.FindAllString(r.all.String(), -1) {
		race := race{text: text}
		for i, access := range raceAccess.FindAllStringSubmatch(text, 2) {
			for _, frame := range raceFrame.FindAllStringSubmatch(access[1], -1) {
				race.accesses[i] = append(race.accesses[i], frame[1])
			}
		}
		races = append(races, race)
	}
	return races
}

// culprit is the function that has made the access: the innermost one that is not in the standard library.
func culprit(stack []string) string {
	for _, function := range stack {
		if first, _, _ := strings.Cut(function, "/"); strings.Contains(first, ".") && strings.Contains(function, "/") {
			return function
		}
	}
	return ""
}

// ours tells whether getty has a part in the race.
func (r race) ours() bool {
	for _, stack := range r.accesses {
		who := culprit(stack)
		if who == "" || strings.HasPrefix(who, "github.com/apache/dubbo-getty.") || strings.HasPrefix(who, "github.com/getty-net/getty") {
			return true
		}
	}
	return false
}

// of tells whether one of the two accesses was made by the function, or for it.
func (r race) of(function string) bool {
	return slices.Contains(r.accesses[0], function) || slices.Contains(r.accesses[1], function)
}

func TestParse(t *testing.T) {
	const output = `{"Action":"output","Package":"p","Test":"TestA","Output":"==================\nWARNING: DATA RACE\nRead at 0x1 by goroutine 2:\n  sync.(*Mutex).Lock()\n      a.go:1 +0x1\n  example.org/a.(*T).B()\n      a.go:1 +0x1\n  github.com/apache/dubbo-getty.(*session).run()\n      s.go:2 +0x2\n\nPrevious write at 0x1 by goroutine 3:\n  WHO()\n      b.go:3 +0x3\n\nGoroutine 2 (running) created at:\n  main.main()\n      m.go:4 +0x4\n==================\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB/c"}
{"Action":"fail","Package":"p"}
# p: does not build
`
	for who, ours := range map[string]bool{"example.org/a.Set": false, "github.com/apache/dubbo-getty.(*session).Close": true} {
		reports, others := parse([]byte(strings.ReplaceAll(output, "WHO", who)))
		if r := reports["p"]; len(reports) != 1 || r.count("pass") != 1 || r.count("fail") != 1 || !r.failed || others != "# p: does not build\n" {
			t.Errorf("got %+v and %q", r, others)
		}
		races := reports["p"].races()
		if len(races) != 1 || races[0].ours() != ours || !races[0].of(who) || !races[0].of("example.org/a.(*T).B") || races[0].of("main.main") {
			t.Errorf("races: %+v", races)
		}
	}
}
