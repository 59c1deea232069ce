// SPDX-License-Identifier: Apache-2.0

package consumers_test

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// suite is the tests of a package of a consumer.
type suite struct {
	pkg   string
	tests int      // how many pass on the original without the race detector: all there are
	races []string // functions of the consumer whose accesses race with others of its own, on the original as well
}

// tests runs the suites, with or without the race detector.
func (c checkout) tests(t *testing.T, suites []suite, flags ...string) {
	t.Helper()
	args := append([]string{"-json", "-count=1", "-vet=off"}, flags...)
	for _, s := range suites {
		args = append(args, "./"+s.pkg)
	}
	cmd := command(t, c.dir, "go", c.args("test", args...)...)
	var compiler strings.Builder
	cmd.Stderr = &compiler
	began := time.Now()
	output, err := cmd.Output()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	reports, others := parse(output)
	for _, s := range suites {
		r := reports[c.module+"/"+s.pkg]
		if r == nil || len(r.verdicts) == 0 {
			t.Errorf("%s has not run\n%s%s", s.pkg, others, compiler.String())
			continue
		}
		t.Logf("%s: %d passed, %d failed, %d races", s.pkg, r.count("pass"), r.count("fail"), len(r.races()))
		s.check(t, r)
	}
	t.Logf("took %v with building", time.Since(began).Round(time.Second))
}

// check compares with what the original does: nothing fails that passes there, no race has getty in it, and the only
// others are those that are known. A test that a race has failed has failed for that alone.
func (s suite) check(t *testing.T, r *report) {
	t.Helper()
	innocent := true
	for _, race := range r.races() {
		if race.ours() || !slices.ContainsFunc(s.races, race.of) {
			innocent = false
			complain(t, "%s: data race of %s and %s\n%s", s.pkg, culprit(race.accesses[0]), culprit(race.accesses[1]), race.text)
		}
	}
	for test, verdict := range r.verdicts {
		if verdict == "fail" && (!innocent || !r.raced(test)) {
			complain(t, "%s: %s fails\n%s", s.pkg, test, r.outputs[test])
		}
	}
	if n := len(r.verdicts); n != s.tests || r.failed && r.count("fail") == 0 && len(r.races()) == 0 {
		complain(t, "%s: %d tests, want %d\n%s", s.pkg, n, s.tests, r.outputs[""])
	}
}

// raced tells whether races are all that a test, or those of its subtests that fail, has failed for.
func (r *report) raced(test string) bool {
	var all string
	for name, output := range r.outputs {
		if name == test || strings.HasPrefix(name, test+"/") && r.verdicts[name] == "fail" {
			all += output
		}
	}
	return strings.Contains(all, "race detected during execution of test") && !strings.Contains(all, "Error Trace:")
}
