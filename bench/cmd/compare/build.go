// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// libraries are the contenders that are not in the standard library, by their build tags.
var libraries = []string{"getty", "gnet", "nbio", "netpoll", original, dropIn, "gws", "coder", "gorilla", "gobwas"}

// prefixes of the names of contenders that speak something else than frames over TCP.
var prefixes = []string{"tls-", "wss-", "ws-", "udp-"}

// bare returns the name of a contender without its prefix.
func bare(contender string) string {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(contender, p); ok {
			return rest
		}
	}
	return contender
}

// library returns the build tag of a contender, "std" for those that need none.
func library(contender string) string {
	name := bare(contender)
	if !slices.Contains(libraries, name) {
		return "std"
	}
	return name
}

// impl is what a contender is called in its binary: to the program the drop-in is dubbo-getty.
func impl(contender string) string {
	if contender == dropIn {
		return original
	}
	return contender
}

// link returns what go build needs to link a library and no other.
func link(lib string) []string {
	flags := []string{"build", "-tags", "single," + impl(lib)}
	if lib == dropIn {
		flags = append(flags, "-modfile=dropin.mod")
	}
	return flags
}

// spoken returns the cell with what is spoken to a contender, which its name tells.
func (c cell) spoken(contender string) cell {
	c.TLS = strings.HasPrefix(contender, "tls-") || strings.HasPrefix(contender, "wss-")
	c.WebSocket = strings.HasPrefix(contender, "ws")
	c.UDP = strings.HasPrefix(contender, "udp-")
	return c
}

// bin returns the path of a binary.
func (b *bench) bin(name string) string { return filepath.Join(b.dir, name) }

// build makes the binaries of the working tree: a server for each library, with no other library in it.
func (b *bench) build() error {
	cmds := []*exec.Cmd{
		exec.Command("go", "build", "-o", b.bin("load"), "./cmd/load"),                   //nolint:gosec // a program of ours
		exec.Command("gcc", "-O2", "-Wall", "-o", b.bin("epoll_echo"), "c/epoll_echo.c"), //nolint:gosec // a program of ours
		exec.Command("gcc", "-O2", "-Wall", "-o", b.bin("mmsg_echo"), "c/mmsg_echo.c"),   //nolint:gosec // a program of ours
	}
	for _, lib := range append([]string{"std"}, libraries...) {
		cmds = append(cmds, exec.Command("go", append(link(lib), "-o", b.bin("server-"+lib), "./cmd/server")...)) //nolint:gosec // a program of ours
	}
	for _, lib := range append([]string{dropIn}, poolLibraries...) {
		cmds = append(cmds, exec.Command("go", append(link(lib), "-o", b.bin("pool-"+lib), "./cmd/pool")...)) //nolint:gosec // a program of ours
	}
	for _, cmd := range cmds {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
		}
	}
	return nil
}

// versions lists the modules of the peers that were built.
func (b *bench) versions() [][2]string {
	peers := []string{
		"github.com/panjf2000/gnet/v2", "github.com/lesismal/nbio", "github.com/cloudwego/netpoll",
		"github.com/apache/dubbo-getty", "github.com/lxzan/gws", "github.com/coder/websocket",
		"github.com/gorilla/websocket", "github.com/gobwas/ws",
	}
	var list [][2]string
	for _, lib := range libraries {
		info, err := buildinfo.ReadFile(b.bin("server-" + lib))
		if err != nil {
			continue
		}
		for _, dep := range info.Deps {
			// dubbo-getty links gorilla, which then stands there twice.
			if v := [2]string{dep.Path, dep.Version}; slices.Contains(peers, dep.Path) && !slices.Contains(list, v) {
				list = append(list, v)
			}
		}
	}
	return list
}
