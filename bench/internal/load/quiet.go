// SPDX-License-Identifier: Apache-2.0

package load

import "time"

// quietPause is how long a quiet connection is quiet, at least.
const quietPause = 5 * time.Millisecond

// ask sends the message of the quiet connection whose turn it is, unless its last one has not come back.
func (l *Loop) ask() error {
	quiet := l.conns[l.cfg.Conns:]
	now := time.Now()
	if len(quiet) == 0 || now.Sub(l.asked) < quietPause/time.Duration(len(quiet)) {
		return nil
	}
	l.asked = now
	c := quiet[l.turn%len(quiet)]
	l.turn++
	if len(c.sent) > 0 {
		return nil
	}
	c.sent = append(c.sent, now)
	return l.send(c, 1)
}
