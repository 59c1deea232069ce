// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/getty-net/getty/gettytest"
)

func TestMain(m *testing.M) {
	if is, err := child(); err != nil {
		panic(err)
	} else if is {
		gettytest.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(gettytest.Exit))
}

// TestSoak is a short run of all of it.
func TestSoak(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	err := run(context.Background(), &out, options{duration: 6 * time.Second, sessions: 300, out: dir})
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "soak.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(rows) < 5 {
		t.Errorf("%d rows: %v", len(rows), err)
	}
	text, err = os.ReadFile(filepath.Join(dir, "soak.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(text)); err == nil; {
		_, err = d.Token()
	}
	if !errors.Is(err, io.EOF) || !bytes.Contains(text, []byte("<polyline")) || bytes.Contains(text, []byte("NaN")) {
		t.Errorf("no plot: %v\n%s", err, text)
	}
}

// TestFlood is a short one, without the claim about p99: the machine may be busy.
func TestFlood(t *testing.T) {
	var out bytes.Buffer
	err := run(context.Background(), &out, options{duration: 2 * time.Second, sessions: 60, flood: 20})
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
}

// A soak that is not told so could not fail.
func TestWhatIsWrongIsSaid(t *testing.T) {
	var b books
	p := newPage(&b)
	accepted := func() error { return nil }
	for id := range uint64(2) {
		if err := p.send(id+1, false, accepted); err != nil {
			t.Fatal(err)
		}
	}
	p.ack(1)
	p.ack(1)
	err := b.check("tcp")
	if err == nil || !strings.Contains(err.Error(), "1 messages are unaccounted for") || !strings.Contains(err.Error(), "settled twice") {
		t.Errorf("the books say %v", err)
	}
	before := usage{Goroutines: 3, Descriptors: 9}
	for _, after := range []usage{{Goroutines: 4}, {Descriptors: 10}, {Heap: heapSlack + 1}} {
		if after.check("server", before, heapSlack) == nil {
			t.Errorf("%+v is taken for no more than %+v", after, before)
		}
	}
	for _, n := range []int{85, 82} { // of 100, and three that may not be due
		c := &campaign{loads: []*load{{size: 30}, {size: 40}, {size: 30}}, wrecked: 100 * time.Second, counts: map[string]int{"reset": n, "close": 3}}
		if rate, err := c.faultRate(); (err == nil) != (n == 85) || math.Abs(rate-float64(n+3)/100) > 1e-9 {
			t.Errorf("%d faults are %v %%: %v", n+3, rate, err)
		}
	}
}

func TestLedgersAreCompared(t *testing.T) {
	const sent = 100
	for _, c := range []struct {
		name    string
		change  func(f *fates, s *ledgerSheet)
		want    string // of the error
		dropped int
	}{
		{"nothing is wrong", func(*fates, *ledgerSheet) {}, "", 0},
		{"never sent", func(_ *fates, s *ledgerSheet) { s.Arrived.add(sent + 1) }, "nobody has sent", 0},
		{"beyond all", func(_ *fates, s *ledgerSheet) { s.Odd++ }, "nobody has sent", 0},
		{"twice", func(_ *fates, s *ledgerSheet) { s.Twice++ }, "handled twice", 0},
		{"acknowledged, never handled", func(_ *fates, s *ledgerSheet) { s.Arrived.remove(7) }, "not handled", 0},
		{"acknowledged, never answered", func(_ *fates, s *ledgerSheet) { s.Answered -= 2 }, "more than were sent", 0},
		{"lost for no reason", func(f *fates, _ *ledgerSheet) { f.expire(98, true) }, "has not dropped", 0},
		{"answer lost for no reason", func(f *fates, _ *ledgerSheet) { f.expire(90, true) }, "has not dropped", 0},
		{"dropped", func(f *fates, _ *ledgerSheet) { f.expire(98, true) }, "", 1},
		{"late", func(f *fates, s *ledgerSheet) { f.expire(90, true); f.ack(90); s.Answered++ }, "", 0},
		{"excused", func(f *fates, _ *ledgerSheet) { f.expire(98, true); f.excuse(98) }, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f fates
			var l ledger
			for id := range uint64(90) { // of ten nobody knows
				l.arrive(id + 1)
				if id < 80 {
					l.answer()
					f.ack(id + 1)
				}
			}
			l.answer() // one acknowledgement is on its way
			f.expire(90, false)
			f.expire(99, false)
			s := l.close()
			c.change(&f, s)
			sp, err := f.compare(s, sent, c.dropped)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if sp.lost == 0 { // 99 at least
				t.Errorf("nothing is lost: %v", sp)
			}
		})
	}
	var l ledger
	l.arrive(5)
	l.arrive(5)
	l.arrive(maxNumber)
	if s := l.close(); s.Twice != 1 || s.Odd != 1 || s.Arrived.count() != 1 || l.close().Arrived.count() != 0 {
		t.Errorf("%+v", s)
	}
}

// A message that expires is excused by a fault and by a restart near it.
func TestWhatExpiresIsExcused(t *testing.T) {
	for _, c := range []struct {
		name string
		near func(b *books, p *page)
		calm int
	}{
		{"nothing", func(*books, *page) {}, 1},
		{"a fault", func(_ *books, p *page) { p.fault() }, 0},
		{"a restart", func(b *books, _ *page) { b.calm.Store(0) }, 0},
		{"a restart that is over", func(b *books, _ *page) { b.calm.Store(time.Now().UnixNano()) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &books{udp: true}
			b.calm.Store(1)
			p := newPage(b)
			if err := p.send(1, false, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			c.near(b, p)
			p.expire(time.Now().Add(ackWithin - time.Second))
			if n := b.expired.Load(); n != 0 {
				t.Errorf("%d have expired too soon", n)
			}
			p.expire(time.Now().Add(ackWithin))
			if n, calm := b.expired.Load(), b.fates.calm.count(); n != 1 || calm != c.calm {
				t.Errorf("%d have expired, %d for no reason", n, calm)
			}
			p.ack(1)
			if late, calm := b.late.Load(), b.fates.calm.count(); late != 1 || calm != 0 || b.fates.acked.count() != 1 {
				t.Errorf("%d are late, %d still expired for no reason", late, calm)
			}
		})
	}
}

// started is a server with a pool for each transport, of which nothing is sent.
func started(t *testing.T, size int) *campaign {
	t.Helper()
	srv, err := startServer(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	c := &campaign{srv: srv, period: time.Hour, counts: make(map[string]int), began: time.Now()}
	t.Cleanup(func() {
		for _, l := range c.loads {
			l.hurried = true
		}
		if err := errors.Join(c.disconnect(), srv.stop()); err != nil {
			t.Error(err)
		}
	})
	if err := c.connect(t.Context(), size*len(transports)); err != nil {
		t.Fatal(err)
	}
	return c
}

// What was asked for while a server drained used to be answered after that.
func TestServerIsMeasuredWhileItDrains(t *testing.T) {
	c := started(t, 1)
	ended := make(chan error, 1)
	go func() { ended <- c.srv.end("shutdown") }()
	for n := 0; ; n++ {
		if _, err := c.srv.do(order{Do: "measure"}); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != nil || n < 3 {
				t.Errorf("measured %d times in %v: %v", n, gracePeriod, err)
			}
			return
		default:
		}
	}
}

// Faults that could not be done used to be counted as well.
func TestFaultsAreDone(t *testing.T) {
	c := started(t, 6)
	for _, l := range c.loads {
		for s := range l.client.Sessions() {
			for _, f := range faults {
				if f.name == "half-close" && f.do(l, s) != (l.name != "udp") {
					t.Errorf("%s: half a close is done: %v", l.name, l.name == "udp")
				}
			}
			break
		}
		for s := range l.client.Sessions() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if f := l.harm(s); f != "" {
				t.Errorf("%s: %s is done to a closed session", l.name, f)
			}
			break
		}
		n := 0
		l.hurt(3, func(string) { n++ })
		if n != 3 {
			t.Errorf("%s: %d faults of 3", l.name, n)
		}
	}
}
