// SPDX-License-Identifier: Apache-2.0

//go:build !single || dubbogetty

package pool

import (
	"fmt"

	dubbogetty "github.com/apache/dubbo-getty"

	"github.com/getty-net/getty/bench/internal/contender"
)

func init() { starters["dubbogetty"] = startDubboGetty }

type dubboPool struct{ dubbogetty.Client }

// startDubboGetty uses the defaults, as its users do.
func startDubboGetty(addr string, size int) (Client, error) {
	if err := dubbogetty.SetLoggerLevel(dubbogetty.LoggerLevelFatal); err != nil {
		return nil, fmt.Errorf("dubbogetty: %w", err)
	}
	c := dubbogetty.NewTCPClient(dubbogetty.WithServerAddress(addr), dubbogetty.WithConnectionNumber(size))
	go c.RunEventLoop(func(s dubbogetty.Session) error { // does not return before the pool is full
		s.SetPkgHandler(contender.DubboFrames{})
		s.SetEventListener(dubboIgnore{})
		return nil
	})
	return dubboPool{c}, nil
}

func (p dubboPool) Close() error {
	p.Client.Close()
	return nil
}

type dubboIgnore struct{}

func (dubboIgnore) OnOpen(dubbogetty.Session) error       { return nil }
func (dubboIgnore) OnClose(dubbogetty.Session)            {}
func (dubboIgnore) OnError(dubbogetty.Session, error)     {}
func (dubboIgnore) OnCron(dubbogetty.Session)             {}
func (dubboIgnore) OnMessage(_ dubbogetty.Session, _ any) {}
