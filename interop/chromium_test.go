// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// findChromium returns the browser's program under one of its names.
func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium: install chromium, as scripts/packages.sh does")
}

// browser starts Chromium and returns its context for chromedp.
func browser(t *testing.T) context.Context {
	path, err := findChromium()
	must(t, err)
	options := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // which cannot be had by root; the page is our own
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(limit),
		chromedp.WindowSize(900, 1000),
	})
	allocator, stop := chromedp.NewExecAllocator(within(t), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Log("close the browser:", err)
		}
		cancel()
	})
	return ctx
}

// pageServer serves the page, and beside it one getty server for each way to
// compress, with the side that sees its sessions.
func pageServer(t *testing.T) (origin string, plain *getty.Server[[]byte], sides map[string]*side) {
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServer(http.Dir(filepath.Join("testdata", "page"))))
	sides = map[string]*side{}
	for _, o := range []setting{{name: "plain"}, {name: "deflate", deflate: true}, {name: "takeover", deflate: true, takeover: true}} {
		s := newSide()
		echo := s.events().(getty.EventFuncs[[]byte])
		echo.Message = func(ss *getty.Session[[]byte], m []byte) error {
			if string(m) == "close 4000" {
				return &getty.CloseError{Code: 4000, Reason: "as you wish, 世界"}
			}
			return ss.Send(m)
		}
		srv, err := getty.NewServer(codec.Raw{}, echo, o.config())
		must(t, err)
		t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
		mux.Handle("GET /"+o.name, srv)
		sides[o.name] = s
		if o.name == "plain" {
			plain = srv
		}
	}
	h := httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h.URL, plain, sides
}

// open opens a page and returns its results, one in a line, and a picture.
func open(ctx context.Context, t *testing.T, page string) (results []string, picture []byte) {
	t.Helper()
	must(t, chromedp.Do(ctx, chromedp.Navigate(page), chromedp.WaitVisible(chromedp.ID("done"))))
	lines, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		`[...document.querySelectorAll("#results li")].map(li => li.className + " " + li.textContent).join("\n")`))
	must(t, err)
	picture, err = chromedp.Run(ctx, chromedp.FullScreenshot(100))
	must(t, err)
	return strings.Split(lines, "\n"), picture
}

func wantAllOK(t *testing.T, results []string, n int) {
	t.Helper()
	for _, line := range results {
		if !strings.HasPrefix(line, "ok ") {
			t.Error(line)
		}
	}
	if len(results) != n {
		t.Errorf("%d results, want %d:\n%s", len(results), n, strings.Join(results, "\n"))
	}
}

func TestChromium(t *testing.T) {
	outside(t)
	origin, _, sides := pageServer(t)
	results, picture := open(browser(t), t, origin+"/")
	wantAllOK(t, results, 3*9+3)

	for kind, s := range sides {
		closed(3001, "page "+kind)(t, receive(t, s.closed, "end of the session"))
	}
	plain := sides["plain"].closed
	closed(4000, "as you wish, 世界")(t, receive(t, plain, "end of the session"))
	is(getty.ErrMessageTooLong)(t, receive(t, plain, "end of the session"))
	clean(getty.CloseNoStatus, "")(t, receive(t, plain, "end of the session"))

	// The picture is a product of the build, to be looked at.
	must(t, os.MkdirAll("build", 0o755))
	must(t, os.WriteFile(filepath.Join("build", "chromium.png"), picture, 0o644))
}

// A page of another origin gets no session, unless the configuration names it.
func TestChromiumOrigin(t *testing.T) {
	outside(t)
	origin, plain, sides := pageServer(t)
	elsewhere, _, _ := pageServer(t)
	to := fmt.Sprintf("ws%s/plain", strings.TrimPrefix(origin, "http"))
	results, _ := open(browser(t), t, elsewhere+"/?to="+url.QueryEscape(to))
	wantAllOK(t, results, 1)
	if st := plain.Stats(); st.Failed != 1 || st.Opened != 0 {
		t.Errorf("%d handshakes failed and %d sessions opened, want 1 and 0", st.Failed, st.Opened)
	}
	if len(sides["plain"].opened) > 0 {
		t.Error("a session was opened")
	}
}
