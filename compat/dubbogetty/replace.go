// SPDX-License-Identifier: Apache-2.0

package getty

import "sync"

// replacer decides which sessions of a client are replaced. The engine asks
// after each OnClose, and does the connecting.
//
// As ever there are rounds of filling the pool: RunEventLoop begins one, and so
// does the loss of a session that is to be replaced; a round ends when nothing
// is missing. Within a round a session that fails at once is replaced until one
// more than the pool's size have been opened: the limit of attempts. Outside of
// it the end of a TCP stream replaces nothing, unless the process has chosen
// otherwise. Attempts that do not connect do not count.
type replacer struct {
	size int

	mu       sync.Mutex
	onEOF    bool // replace sessions that ended by EOF
	filling  bool
	attempts int             // sessions that this round may open
	live     int             // sessions that are open
	left     int             // places that stay free
	no       map[uint64]bool // sessions that are not to be replaced, until asked
}

// begin begins a round.
func (r *replacer) begin(onEOF bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onEOF, r.left = onEOF, 0
	r.attempts = r.size - r.live
	r.filling = r.attempts > 0
}

func (r *replacer) opened() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live++
	r.checkFull()
}

func (r *replacer) checkFull() {
	if r.live+r.left >= r.size {
		r.filling = false
	}
}

// closed decides about a session and reports whether its place stays free.
// live says that its OnOpen had succeeded, ignore that its user wants no
// replacement, eof that its TCP stream has ended.
func (r *replacer) closed(id uint64, live, ignore, eof bool) (stays bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if live {
		r.live--
	}
	switch {
	case ignore:
		stays = true
	case live && (!eof || r.onEOF): // a loss
		if !r.filling {
			r.filling, r.attempts = true, 0
		}
		r.attempts++
	default: // a failure
		if stays = !r.filling || r.attempts > r.size; !stays {
			r.attempts++
		}
	}
	if stays {
		if r.no == nil {
			r.no = make(map[uint64]bool)
		}
		r.no[id] = true
		r.left++
		r.checkFull()
	}
	return stays
}

// verdict reports, once, whether a session is to be replaced.
func (r *replacer) verdict(id uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	no := r.no[id]
	delete(r.no, id)
	return !no
}
