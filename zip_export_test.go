// SPDX-License-Identifier: Apache-2.0

package getty

// ZipStream is the two halves of a compression without a conn.
type ZipStream struct {
	f   *format
	exp expander
	out []byte
}

// NewZipStream makes the halves of how.
func NewZipStream(how Compression) *ZipStream {
	c := newCompressConn(nil, newFormat(how, 0))
	return &ZipStream{c.format, c.exp, []byte(c.head)}
}

// Preamble is what a peer of how sends first.
func (c Compression) Preamble() []byte { return c.preamble(true) }

// Compress returns p as it would be written.
func (z *ZipStream) Compress(p []byte) []byte {
	for len(p) > 0 {
		n := min(len(p), pieceSize)
		z.out = z.f.compress(z.out, p[:n])
		p = p[n:]
	}
	out := z.out
	z.out = nil
	return out
}

// Expand is what the reader does in one step.
func (z *ZipStream) Expand(dst, src []byte) (out, used int, err error) { return z.exp.expand(dst, src) }

// Rest is what the reader does before it waits.
func (z *ZipStream) Rest() { z.exp.rest() }

// Drop is what the reader does in the end.
func (z *ZipStream) Drop() { z.exp.drop() }

// Whole reports whether the stream may end here.
func (z *ZipStream) Whole() bool { return z.exp.whole() }

// ZipPreamble is the preamble of how, ZipParsePreamble looks at one.
func ZipPreamble(how Compression) []byte { return how.preamble(true) }

func ZipAnswer(how Compression) []byte { return how.preamble(false) }

// ZipParsePreamble is what the handshake knows of the first bytes of a peer.
func ZipParsePreamble(data []byte) (Compression, bool, error) { return parsePreamble(data, true) }
