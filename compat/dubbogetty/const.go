// SPDX-License-Identifier: Apache-2.0

package getty

import (
	"compress/flate"
	"strconv"
)

// EndPointID is the type of EndPoint.ID.
type EndPointID = int32

// EndPointType is the transport and side of an EndPoint.
type EndPointType int32

// The types of endpoints.
const (
	UDP_ENDPOINT EndPointType = 0
	UDP_CLIENT   EndPointType = 1
	TCP_CLIENT   EndPointType = 2
	WS_CLIENT    EndPointType = 3
	WSS_CLIENT   EndPointType = 4
	TCP_SERVER   EndPointType = 7
	WS_SERVER    EndPointType = 8
	WSS_SERVER   EndPointType = 9
)

// EndPointType_name has the names of the types.
var EndPointType_name = map[int32]string{
	int32(UDP_ENDPOINT): "UDP_ENDPOINT",
	int32(UDP_CLIENT):   "UDP_CLIENT",
	int32(TCP_CLIENT):   "TCP_CLIENT",
	int32(WS_CLIENT):    "WS_CLIENT",
	int32(WSS_CLIENT):   "WSS_CLIENT",
	int32(TCP_SERVER):   "TCP_SERVER",
	int32(WS_SERVER):    "WS_SERVER",
	int32(WSS_SERVER):   "WSS_SERVER",
}

// EndPointType_value is EndPointType_name backwards.
var EndPointType_value = backwards(EndPointType_name)

func backwards(names map[int32]string) map[string]int32 {
	values := make(map[string]int32, len(names))
	for value, name := range names {
		values[name] = value
	}
	return values
}

// String is the name, or the number of a type that has none.
func (x EndPointType) String() string {
	if name, ok := EndPointType_name[int32(x)]; ok {
		return name
	}
	return strconv.Itoa(int(x))
}

// MaxWheelTimeSpan was the longest cron period of the original, in nanoseconds.
// Here there is no such limit.
const MaxWheelTimeSpan = 900e9

// CompressType is an argument of SetCompressType.
type CompressType int

// The compressions. All but CompressNone are untyped, as they have always been.
// Over TCP all but CompressSnappy are one format on the wire, DEFLATE, which any
// of them reads, CompressNone included: calling SetCompressType with it is not
// the same as not calling it. Over WebSocket each turns permessage-deflate on
// for what is sent, if the peer agreed to it.
const (
	CompressNone            CompressType = flate.NoCompression
	CompressZip                          = flate.DefaultCompression
	CompressBestSpeed                    = flate.BestSpeed
	CompressBestCompression              = flate.BestCompression
	CompressHuffman                      = flate.HuffmanOnly
	CompressSnappy                       = 10
)
