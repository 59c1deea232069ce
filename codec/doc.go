// SPDX-License-Identifier: Apache-2.0

// Package codec has the framings that most protocols need, ready to be given to getty.NewServer, getty.NewClient or
// getty.Dial.
//
// # Choosing a codec
//
// For a protocol of your own take [LengthField]: its zero value, a 4-byte big-endian length and then the body, is the
// fastest one and carries any bytes; with its fields set it speaks most existing binary protocols. [Varint] costs one
// byte instead of four for small messages and is what protobuf streams use. [Line] is for text that people type or
// read, [Delimiter] for text with another terminator or without a string per message, [Fixed] for records of one size.
// [Raw] leaves the bytes as they come: right for packets and WebSocket messages, which have borders of their own, and
// for code that parses a stream itself. [Marshal] puts JSON, protobuf or anything else that turns a value into bytes
// over one of these. A protocol that none of them fits is a type with the two methods Decode and Append.
//
// # What all of them share
//
// The codecs are values without state. One value serves any number of sessions at once, and its methods may be called
// from any goroutine, as long as nobody changes its fields.
//
// Decode(data) takes the first message out of data and says how much of data was used. n == 0 means that more bytes are
// needed, n > len(data) that at least n are. An error means that the stream cannot be read any further. A []byte
// message is a part of data, not a copy: under getty it is valid until OnMessage has returned, and has to be copied to
// be kept. Appending to it never writes into the bytes behind it.
//
// Append(dst, msg) writes msg as a frame behind dst and returns the longer slice. It does not keep or change msg, which
// must not overlap the free capacity of dst. When it returns an error the slice it returns is dst as it was given. What
// Append writes, Decode reads as the same message; a message for which that cannot be so is an [ErrBadMessage].
//
// A length is only believed, never allocated: a peer that announces a large frame gets n > len(data) reported for it,
// which getty compares with the session's limit. The codecs need no limit of their own.
package codec
