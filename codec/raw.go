// SPDX-License-Identifier: Apache-2.0

package codec

// Raw is the codec without a framing: whatever bytes have arrived are a message.
//
// On TCP, TLS and Unix sockets the borders between messages are those of the reads, which the network is free to move:
// two messages may arrive as one, and one as several. On UDP and WebSocket a message is what the peer sent as one.
// The zero value is ready for use.
type Raw struct{}

// Decode returns all of data as the message, which is data itself, not a copy. It returns no error.
func (Raw) Decode(data []byte) (msg []byte, n int, err error) {
	return data[:len(data):len(data)], len(data), nil
}

// Append writes the bytes of msg and nothing else. It returns no error. An empty message leaves no trace on a stream.
func (Raw) Append(dst, msg []byte) ([]byte, error) {
	return append(dst, msg...), nil
}

func (Raw) reserve() (int, error) { return 0, nil }

func (Raw) seal(dst []byte, _ int) ([]byte, error) { return dst, nil }

// DecodeEmpty returns the empty message that an empty WebSocket message or UDP packet is. It returns no error.
func (Raw) DecodeEmpty() (msg []byte, err error) { return []byte{}, nil }
