// SPDX-License-Identifier: Apache-2.0

package consumers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// consumer is a module that requires dubbo-getty.
type consumer struct {
	module, version string
	flags           []string          // for go build and go test
	standIns        map[string]string // modules that the proxy does not have, and their directories in testdata
}

// checkout is a consumer that can be built, in a directory of its own.
type checkout struct {
	consumer
	dir string
}

// checkOut downloads and copies a consumer and has it use the drop-in, or the version of the original as the flag has it.
func (c consumer) checkOut(t testing.TB, version string) checkout {
	t.Helper()
	if testing.Short() {
		t.Skip("takes minutes")
	}
	dir := filepath.Join(t.TempDir(), "module")
	var info struct{ Dir string }
	out := run(t, t.TempDir(), "go", "mod", "download", "-json", c.module+"@"+c.version)
	if err := json.Unmarshal(out, &info); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(info.Dir)); err != nil {
		t.Fatal(err)
	}
	edit := []string{"mod", "edit", "-fmt"}
	replace := func(module, dir string) {
		abs, err := filepath.Abs(dir)
		if err != nil {
			t.Fatal(err)
		}
		edit = append(edit, "-replace="+module+"="+abs)
	}
	for module, dir := range c.standIns {
		replace(module, filepath.Join("testdata", dir))
	}
	switch version {
	case "":
		replace("github.com/apache/dubbo-getty", "../dubbogetty")
		replace("github.com/getty-net/getty", "../..")
	case "required":
	default:
		edit = append(edit, "-require=github.com/apache/dubbo-getty@"+version)
	}
	run(t, dir, "go", edit...)
	return checkout{c, dir}
}

// args are those of a go command in the checkout. Paths are trimmed so that what was compiled once is found in the
// build cache again, wherever the next copy lies.
func (c checkout) args(verb string, more ...string) []string {
	args := append([]string{verb, "-mod=mod", "-trimpath", "-buildvcs=false"}, c.flags...)
	return append(args, more...)
}

// build puts a program of ours from testdata into the checkout and returns the path of its binary.
func (c checkout) build(t testing.TB, program string) string {
	t.Helper()
	where := filepath.Join(c.dir, "getty-"+program)
	if err := os.CopyFS(where, os.DirFS(filepath.Join("testdata", program))); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), program)
	run(t, c.dir, "go", c.args("build", "-o", bin, "./"+filepath.Base(where))...)
	return bin
}

// command is a program in a directory, outside of any workspace.
func command(t testing.TB, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "PWD="+dir)
	return cmd
}

// run returns the output of a command that must succeed.
func run(t testing.TB, dir, name string, args ...string) []byte {
	t.Helper()
	out, err := command(t, dir, name, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = append(out, bytes.TrimSpace(exit.Stderr)...)
		}
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}
