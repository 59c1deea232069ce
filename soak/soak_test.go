// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if is, err := child(); err != nil {
		panic(err)
	} else if is {
		return
	}
	goleak.VerifyTestMain(m)
}

// TestSoak is a short run of all of it.
func TestSoak(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	err := run(context.Background(), &out, options{duration: 9 * time.Second, sessions: 300, out: dir})
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
	err := run(context.Background(), &out, options{duration: 3 * time.Second, sessions: 60, flood: 20})
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
	p.send(1, false, accepted)
	p.send(2, false, accepted)
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
}
