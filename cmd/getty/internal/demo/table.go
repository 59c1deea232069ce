// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	rowFormat  = "%7s  %-9s  %8s  %10s  %9s  %9s  %10s\n"
	sumFormat  = "%-9s  %11s  %12s  %11s  %8s  %9s  %7s  %5s\n"
	headerRows = 30 // rows until the header is repeated
)

// table prints what happens, in columns.
type table struct {
	w     io.Writer
	rows  int           // since the last header; 0: the header is due
	group time.Duration // the moment of the last row
}

func newTable(w io.Writer) *table { return &table{w: w} }

func (t *table) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(t.w, format, args...)
}

// intro says what is going to be seen.
func (t *table) intro(pid int, urls []string) {
	t.printf("A server in process %d, and a pool of %d sessions to each of its listeners:\n", pid, poolSize)
	for _, url := range urls {
		t.printf("  %s\n", url)
	}
	t.printf("Up to %d numbered messages of %d bytes are in flight on each session; the server acknowledges each.\n",
		window, messageSize)
	t.printf("udp has no connections: its sessions stay, and what is not acknowledged in %v has timed out.\n", ackTimeout)
}

// row prints one line. The rows of one moment show it once.
func (t *table) row(now time.Duration, s sample) {
	if t.rows >= headerRows && now != t.group {
		t.rows = 0
	}
	if t.rows == 0 {
		t.printf("\n"+rowFormat, "time", "transport", "sessions", "messages/s", "p50 ms", "p99 ms", "reconnects")
	}
	at := ""
	if now != t.group || t.rows == 0 {
		at = seconds(now)
	}
	t.group = now
	t.rows++
	t.printf(rowFormat, at, s.name, fmt.Sprintf("%d/%d", s.live, s.size), thousands(int64(s.rate+0.5)),
		millis(s.p50), millis(s.p99), thousands(s.reconnects))
}

// event prints something that happened between two rows.
func (t *table) event(now time.Duration, format string, args ...any) {
	t.printf("%7s  >>> %s\n", seconds(now), fmt.Sprintf(format, args...))
}

// summary prints the ledgers and whether they add up.
func (t *table) summary(names []string, sums []sum) {
	t.printf("\nWhat became of the messages:\n\n")
	t.printf(sumFormat, "transport", "sent", "acknowledged", "Send failed", "lost", "timed out", "missing", "twice")
	var total sum
	good := true
	for i, s := range sums {
		t.sum(names[i], s)
		total = total.add(s)
		good = good && s.check() == nil
	}
	t.sum("total", total)
	t.printf("\nSend failed: the sender got an error. lost: Send had accepted it, and OnClose told of the\n"+
		"session's end before the acknowledgement came. timed out: on udp, where nothing tells of a loss,\n"+
		"the sender gave up after %v; %s of these were acknowledged later, which counts for nothing.\n"+
		"missing: none of it, nor acknowledged.\n", ackTimeout, thousands(total.late))
	if good {
		t.printf("\nIt adds up: every message was acknowledged exactly once, or its sender was told.\n")
	} else {
		t.printf("\nIT DOES NOT ADD UP.\n")
	}
}

func (t *table) sum(name string, s sum) {
	t.printf(sumFormat, name, thousands(s.sent), thousands(s.acked), thousands(s.failed),
		thousands(s.lost), thousands(s.expired), thousands(s.missing()), thousands(s.twice))
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s" }

// millis leaves an empty measurement out.
func millis(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64)
}

// thousands groups the digits of n.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String()
}
