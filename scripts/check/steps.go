// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// step is one line of the report.
type step struct {
	kind, name string
	run        func(context.Context, runner) result
}

// waits reports whether the step leaves the processor to others most of the time: tests wait for peers and timers.
func (s step) waits() bool { return s.kind == "race" || s.kind == "portable" || s.kind == "debug" }

var (
	systems   = []string{"linux", "darwin", "windows", "freebsd"}
	linuxOnly = []string{"bench", "faults", "scripts", "soak"}

	// otherBuilds are those of the root that have files of their own.
	otherBuilds = []string{goFlags("-tags=race"), goFlags("-tags=getty_debug"), goFlags("-tags=getty_portable"), "GOOS=darwin", "GOOS=windows"}

	// bufferless modules run none of the engine, or to measure it, or in somebody else's programs.
	bufferless = []string{"bench", "scripts", "compat/apicheck", "compat/consumers"}

	// timeouts are those of the tests of single modules. The root has the most of them; the consumers are downloaded and
	// compiled by their tests.
	timeouts = map[string]time.Duration{".": 12 * time.Minute, "compat/consumers": 20 * time.Minute}
)

// steps has the quick ones first.
func steps(r repo, o options) []step {
	all := []step{
		{"files", "files: length, licence", checkFiles(r)},
		{"fmt", "gofumpt", silent(command{dir: ".", args: []string{o.gofumpt, "-l", "."}})},
	}
	for _, m := range r.modules {
		all = append(all, goStep("tidy", m, "go mod tidy -diff"))
	}
	for _, m := range r.modules {
		for _, system := range systems {
			if system != "linux" && slices.Contains(linuxOnly, m) {
				continue
			}
			c := command{dir: m, args: strings.Fields("go vet ./..."), env: []string{"GOOS=" + system}}
			all = append(all, step{"vet", fmt.Sprintf("vet %s (%s)", m, system), plain(c)})
		}
	}
	for _, m := range r.modules {
		all = append(all, lintStep(o.lint, m, ""))
	}
	for _, build := range otherBuilds {
		all = append(all, lintStep(o.lint, ".", build))
	}
	all = append(all, testStep("portable", ".", "-race", "-tags=getty_portable"))
	for _, m := range r.modules { // the root is the first of them
		all = append(all, testStep("race", m, "-race"))
	}
	for _, m := range r.modules {
		if !slices.Contains(bufferless, m) {
			all = append(all, testStep("debug", m, "-tags=getty_debug"))
		}
	}
	for _, m := range r.modules {
		if r.hasAllocTests(m) {
			all = append(all, testStep("alloc", m, "-run=Alloc"))
		}
	}
	for _, f := range r.fuzzTargets() {
		all = append(all, fuzzStep(f, o))
	}
	return all
}

func goStep(kind, module, line string) step {
	return step{kind, kind + " " + module, plain(command{dir: module, args: strings.Fields(line)})}
}

// lintStep looks at the files of one build: an environment variable, or empty for this system's.
func lintStep(program, module, build string) step {
	args := []string{program, "run", "--allow-parallel-runners", "--show-stats=false", "./..."}
	c := command{dir: module, args: args}
	if build != "" {
		c.env = []string{build}
	}
	return step{"lint", strings.TrimSpace("lint " + module + " " + build), plain(c)}
}

// goFlags adds a flag to those of the environment.
func goFlags(flag string) string {
	return "GOFLAGS=" + strings.TrimSpace(os.Getenv("GOFLAGS")+" "+flag)
}

// testStep counts every test of a module.
func testStep(kind, module string, flags ...string) step {
	timeout := cmp.Or(timeouts[module], 8*time.Minute)
	args := append(strings.Fields("go test -json -count=1 -timeout="+timeout.String()), flags...)
	c := command{dir: module, args: append(args, "./...")}
	for _, f := range flags {
		if strings.HasPrefix(f, "-tags=") {
			c.env = []string{goFlags(f)} // for the programs that the tests build
		}
	}
	return step{kind, strings.Join(append([]string{"test", module}, flags...), " "), tests(c)}
}

// fuzzDeadline is how a target ends when a worker is still busy at the end of -fuzztime: see go.dev/issue/75804. It
// has found nothing, for then it would name the file that it has written.
var fuzzDeadline = regexp.MustCompile(`(?m)^--- FAIL: Fuzz\w+ \(.*\)\n    context deadline exceeded\nFAIL$`)

func fuzzStep(f fuzz, o options) step {
	pkg := "./" + f.dir
	if f.module != "." {
		pkg = "./" + strings.TrimPrefix(strings.TrimPrefix(f.dir, f.module), "/")
	}
	line := fmt.Sprintf("go test -run ^$ -fuzz ^%s$ -fuzztime %s -fuzzminimizetime 1x -timeout %s %s",
		f.name, o.fuzzTime, 2*o.fuzzTime+5*time.Minute, pkg)
	c := command{dir: f.module, args: strings.Fields(line)}
	return step{"fuzz", fmt.Sprintf("fuzz %s %s", f.dir, f.name), func(ctx context.Context, r runner) result {
		output, err := r.run(ctx, c)
		return verdict(err == nil || fuzzDeadline.MatchString(output), output)
	}}
}
