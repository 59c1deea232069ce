// SPDX-License-Identifier: Apache-2.0

package getty

// Networks is how many networks of addresses a server remembers.
func (s *Server[M]) Networks() int {
	s.ep.mu.Lock()
	defer s.ep.mu.Unlock()
	return len(s.ep.admitted.networks)
}
