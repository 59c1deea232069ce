// SPDX-License-Identifier: Apache-2.0

package getty

import "sync"

// replacer decides which sessions of a client are replaced. The engine asks
// after each OnClose, and does the connecting.
//
// As ever there are rounds of filling the pool: RunEventLoop begins one, and so
// does the loss of a session that is to be replaced; a round ends when the pool
// is full. Within a round a session that fails at once is replaced until one
// more than the pool's size have been opened: the limit of attempts. Outside of
// it the end of a TCP stream replaces nothing, unless the process has chosen
// otherwise. Attempts that do not connect do not count.
type replacer struct {
	size int

	mu       sync.Mutex
	onEOF    bool // replace sessions that ended by EOF
	filling  bool
	attempts int             // sessions of this round
	live     int             // sessions that are open
	no       map[uint64]bool // sessions that are not to be replaced, until asked
}

// begin begins a round.
func (r *replacer) begin(onEOF bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onEOF = onEOF
	r.filling, r.attempts = r.live < r.size, 0
}

// opening counts a session whose OnOpen is called.
func (r *replacer) opening() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts++
}

func (r *replacer) opened() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live++
	if r.live >= r.size {
		r.filling = false
	}
}

// closed decides about a session and reports whether it stays without
// replacement. live says that its OnOpen had succeeded, ignore that its user
// wants no replacement, eof that its TCP stream has ended.
func (r *replacer) closed(id uint64, live, ignore, eof bool) (stays bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if live {
		r.live--
	}
	switch {
	case ignore:
		stays = true
	case live && (!eof || r.onEOF):
		if !r.filling {
			r.filling, r.attempts = true, 0
		}
	default:
		stays = !r.filling || r.attempts > r.size
	}
	if stays {
		if r.no == nil {
			r.no = make(map[uint64]bool)
		}
		r.no[id] = true
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
