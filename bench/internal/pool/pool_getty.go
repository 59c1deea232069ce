// SPDX-License-Identifier: Apache-2.0

//go:build !single || getty

package pool

import (
	"context"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

func init() { starters["getty"] = startGetty }

// startGetty uses the defaults but for the size.
func startGetty(addr string, size int) (Client, error) {
	events := getty.NopEvents[[]byte]{}
	c, err := getty.NewClient("tcp://"+addr, codec.LengthField{}, events, getty.ClientConfig{PoolSize: size})
	if err != nil {
		return nil, err
	}
	return c, c.Connect(context.Background())
}
