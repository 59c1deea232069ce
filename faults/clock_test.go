// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inClockProbe is what childEnv has for a process that tries to set its clock.
const inClockProbe = "clock"

// TestClock tries cells with one side in a process whose time of day jumps.
func TestClock(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+inClockProbe)
	switch out, err := cmd.CombinedOutput(); {
	case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == noWallClock:
		t.Logf("%s", out)
		forbids(t, inClock, "no process can set its own clock")
	case err != nil:
		t.Fatalf("%v: %s", err, out)
	}
	eachReal(t, inClock, func(t *testing.T, c cell) {
		defer record(t, c, inClock)
		p := newPairing(t, c, inClock)
		p.start()
		defer p.finish()
		p.tryClock()
	})
}

// tryClock has the clock go a year forward at the moment of the cell, and no
// session ends of it. Then it goes two years back, and limits of time are
// reached when they should be.
func (p *pairing) tryClock() {
	jump := func() { p.child.do("jump", int(year/time.Hour)) }
	here, there := 0, 0 // how many sessions end
	if p.moment == beforeOpen {
		p.opening(jump)
		p.until("a session", patience, func() bool { return len(p.to.sessions()) > 0 })
		if p.srv != nil && p.srv.Stats().Failed > 0 || p.cl != nil && p.cl.Stats().DialFailures > 0 || p.child.do("look", 0).Tries > 0 {
			p.Error("an attempt has failed")
		}
	} else {
		p.connect()
		p.passes()
		p.settled(p.to)
		here, there = p.jumps(p.to.sessions()[0], jump)
	}
	p.passes()
	p.eventually(2*p.unit, func() bool { _, n := p.to.counts(); return n > there })
	_, n := p.to.counts()
	if m := p.child.do("look", 0).Closed; m != here || n != there {
		p.Errorf("the clock was set, and %d and %d sessions have ended, want %d and %d", m, n, here, there)
	}
	p.child.do("jump", -2*int(year/time.Hour))
	p.passes()
	p.wantSilenceFound()
}

// jumps has the clock jump while a session is open, and tells how many end by
// the cell's own doing.
func (p *pairing) jumps(theirs *session, jump func()) (here, there int) {
	switch p.moment {
	case midFrame:
		p.during(p.part(), func() { p.child.tell("send", 700) }, jump)
	case full, closing:
		release := p.to.block()
		p.child.do("fill", 0)
		if p.moment == closing {
			p.child.do("close", 0)
		}
		jump()
		since := time.Now()
		release()
		if p.moment == full {
			break
		}
		if p.transport == udp && p.side == "server" { // the client is not told, and gets another session
			return 1, 0
		}
		p.wantEnd(p.to, theirs, since)
		if _, cause := p.to.over(theirs); !errors.Is(cause, io.EOF) && p.transport != udp {
			p.Errorf("the session that was closed ended with %v", cause)
		}
		return 1, 1
	default:
		jump()
	}
	return 0, 0
}

// wantSilenceFound has nothing pass any more, of which both sides find out.
func (p *pairing) wantSilenceFound() {
	before := p.child.do("look", 0).Closed
	theirs := p.to.sessions()[0]
	p.road.do(silent, p.side)
	since := time.Now()
	p.wantEnd(p.to, theirs, since)
	p.until("the "+p.side+"'s session ends", p.limit(), func() bool { return p.child.do("look", 0).Closed > before })
	if took := time.Since(since); took > p.limit() {
		p.Errorf("the %s found out after %v, more than %v", p.side, took, p.limit())
	}
	p.road.heal()
	p.passes()
}

// TestMonotonicClock has one side in a time namespace whose monotonic clock is
// decades ahead, and stops it: nothing depends on what that clock shows.
func TestMonotonicClock(t *testing.T) {
	if os.Geteuid() != 0 {
		forbids(t, "", "time namespaces need root")
	}
	if _, err := exec.LookPath("unshare"); err != nil {
		lacks(t, "", "time namespaces need the program unshare, of util-linux")
	}
	if out, err := exec.Command("unshare", "--time", "--monotonic", "1", "true").CombinedOutput(); err != nil {
		t.Logf("unshare: %v %s", err, out)
		forbids(t, "", "no time namespace can be made")
	}
	for _, tr := range transports {
		for _, side := range sides {
			c := cell{tr, stopped, side, between}
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				p := newPairing(t, c, inProcesses)
				p.ahead = 30 * year
				p.start()
				defer p.finish()
				if clock := time.Duration(p.child.last.Monotonic); clock < p.ahead {
					t.Fatalf("the clock of the process shows %v", clock)
				}
				p.try()
			})
		}
	}
}

// monotonic is what the kernel's clock shows, in nanoseconds.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}
