// SPDX-License-Identifier: Apache-2.0

//go:build unix

package getty_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// listenAt has a fresh server listen on a socket file.
func listenAt(t *testing.T, path string) (*getty.Server[string], error) {
	t.Helper()
	srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{})
	must(t, err)
	t.Cleanup(func() { finish(t, srv) })
	return srv, srv.Listen("unix://" + path)
}

// stale leaves a socket file behind on which nobody listens.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	_, err = os.Lstat(path)
	must(t, err)
}

func TestServeReplacesAStaleSocketFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale(t, path)
	srv, err := listenAt(t, path)
	must(t, err)
	nc := peer(t, "unix://"+path)
	ask(t, nc, "hello")
	nc.Close()
	finish(t, srv)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket file after Shutdown: %v", err)
	}
}

// TestServeLeavesAllOtherFiles: a live server's socket, one for datagrams, a
// plain file, a link to a stale socket.
func TestServeLeavesAllOtherFiles(t *testing.T) {
	dir := t.TempDir()
	live, file, link := filepath.Join(dir, "live"), filepath.Join(dir, "file"), filepath.Join(dir, "link")
	datagrams := filepath.Join(dir, "datagrams")
	_, err := listenAt(t, live)
	must(t, err)
	dc, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: datagrams, Net: "unixgram"})
	must(t, err)
	defer dc.Close()
	must(t, os.WriteFile(file, []byte("precious"), 0o600))
	stale(t, filepath.Join(dir, "stale"))
	must(t, os.Symlink("stale", link))
	for _, path := range []string{live, datagrams, file, link} {
		before, err := os.Lstat(path)
		must(t, err)
		if _, err := listenAt(t, path); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("Listen on %s: %v", path, err)
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s has been touched: %v", path, err)
		}
	}
	ask(t, peer(t, "unix://"+live), "still there")
}
