// SPDX-License-Identifier: Apache-2.0

package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/getty-net/getty/codec"
)

func ExampleRaw() {
	wire, _ := codec.Raw{}.Append(nil, []byte("as it is"))
	msg, n, _ := codec.Raw{}.Decode(wire)
	fmt.Printf("%q, %d bytes used\n", msg, n)
	// Output:
	// "as it is", 8 bytes used
}

func ExampleLine() {
	wire, _ := codec.Line{}.Append(nil, "hello")
	fmt.Printf("%q\n", wire)

	data := []byte("first\r\nsecond\nthi")
	for {
		line, n, _ := codec.Line{}.Decode(data)
		if n == 0 {
			break
		}
		fmt.Println(line)
		data = data[n:]
	}
	fmt.Printf("%q needs more\n", data)
	// Output:
	// "hello\n"
	// first
	// second
	// "thi" needs more
}

func ExampleDelimiter() {
	c := codec.Delimiter{Delim: []byte("--")}
	wire, _ := c.Append(nil, []byte("a message"))
	fmt.Printf("%q\n", wire)

	_, err := c.Append(wire, []byte("one--two"))
	fmt.Println(errors.Is(err, codec.ErrBadMessage))
	// Output:
	// "a message--"
	// true
}

func ExampleFixed() {
	c := codec.Fixed{Size: 4}
	msg, n, _ := c.Decode([]byte("abcdefg"))
	fmt.Printf("%q, %d bytes used\n", msg, n)
	_, err := c.Append(nil, []byte("abc"))
	fmt.Println(err)
	// Output:
	// "abcd", 4 bytes used
	// codec: message does not fit the codec: 3 bytes, Fixed.Size is 4
}

func ExampleVarint() {
	wire, _ := codec.Varint{}.Append(nil, []byte("hello"))
	fmt.Printf("%q\n", wire)
	_, n, _ := codec.Varint{}.Decode([]byte("\xac\x02and no more yet"))
	fmt.Println(n, "bytes needed")
	// Output:
	// "\x05hello"
	// 302 bytes needed
}

func ExampleLengthField() {
	wire, _ := codec.LengthField{}.Append(nil, []byte("hello"))
	fmt.Printf("%q\n", wire)
	msg, n, _ := codec.LengthField{}.Decode(wire)
	fmt.Printf("%q, %d bytes used\n", msg, n)
	// Output:
	// "\x00\x00\x00\x05hello"
	// "hello", 9 bytes used
}

// A header of a type byte, a 2-byte length that counts the whole frame, and a flag byte. In Netty's terms:
// lengthFieldOffset 1, lengthFieldLength 2, lengthAdjustment -3, initialBytesToStrip 0.
func ExampleLengthField_header() {
	c := codec.LengthField{Offset: 1, LengthSize: 2, Adjustment: -3, Strip: codec.StripNone}

	// The message has the whole header. Append fills in the length.
	wire, _ := c.Append(nil, []byte("T??Fhello"))
	fmt.Printf("%q\n", wire)
	msg, _, _ := c.Decode(wire)
	fmt.Printf("type %c, flag %c, body %q\n", msg[0], msg[3], msg[4:])
	// Output:
	// "T\x00\tFhello"
	// type T, flag F, body "hello"
}

func ExampleMarshal() {
	type point struct{ X, Y int }
	c := codec.Marshal[point]{
		Frame: codec.LengthField{LengthSize: 2},
		Marshal: func(dst []byte, p point) ([]byte, error) {
			b, err := json.Marshal(p)
			return append(dst, b...), err
		},
		Unmarshal: func(data []byte) (p point, err error) {
			err = json.Unmarshal(data, &p)
			return p, err
		},
	}
	wire, _ := c.Append(nil, point{X: 1, Y: 2})
	fmt.Printf("%q\n", wire)
	p, _, _ := c.Decode(wire)
	fmt.Println(p.X, p.Y)
	// Output:
	// "\x00\r{\"X\":1,\"Y\":2}"
	// 1 2
}
