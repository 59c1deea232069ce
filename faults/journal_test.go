// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A journal is the book of a process that may be killed at any time: a file to
// which each line is handed in one write, which the kernel keeps. The words say
// what happened to the message whose number follows.
const (
	inBegun   = "begun"
	inRefused = "refused"
	inAcked   = "acked"
	inGot     = "got"
	inWrong   = "wrong" // and why
)

// readJournal makes a page of what a process wrote before it was killed. Of the
// messages of which it had not learned what became of them nobody knows: each
// may have been delivered, but once.
func readJournal(path string) (page, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return page{}, err
	}
	p := page{Fates: make(map[uint64]fate), Got: make(map[uint64]int)}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		what, about, _ := strings.Cut(lines.Text(), " ")
		if what == inWrong {
			p.Wrong = append(p.Wrong, about)
			continue
		}
		id, err := strconv.ParseUint(about, 10, 64)
		if err != nil {
			return page{}, fmt.Errorf("journal: %w", err)
		}
		switch what {
		case inBegun:
			p.Fates[id] = failed
		case inRefused:
			p.Fates[id] = refused
		case inAcked:
			p.Fates[id] = acked
		case inGot:
			p.Got[id]++
		default:
			return page{}, fmt.Errorf("journal: %q", lines.Text())
		}
	}
	return p, lines.Err()
}

// TestJournal: what a book notes is what its page says.
func TestJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	k, s := newBook(), new(session)
	k.base, k.journal = 1000, f
	for range 3 {
		k.begin(s)
	}
	k.returned(1001, nil)
	k.acked(1001, s)
	k.returned(1002, os.ErrClosed)
	k.returned(1003, nil)
	k.acked(77, s)
	k.delivered(5, s)
	k.delivered(5, s)
	have, err := readJournal(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	k.close(s) // nobody tells a process that is killed
	want := k.page()
	want.Fates[1003] = failed
	if h, w := fmt.Sprintf("%+v", have), fmt.Sprintf("%+v", want); h != w {
		t.Errorf("the journal has %s, the book %s", h, w)
	}
}
