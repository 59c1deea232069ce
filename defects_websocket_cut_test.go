// SPDX-License-Identifier: Apache-2.0

//go:build unix && !getty_portable

package getty_test

import (
	"errors"
	"testing"

	"github.com/getty-net/getty"
)

// TestD32CutsSayGoodbyeToo: on conns that can be written without waiting, also who is cut gets a close frame, if that can be
// written at once.
func TestD32CutsSayGoodbyeToo(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		told := record()
		srv, url := serve(t, tr, record(), getty.Config{}, nil)
		dial(t, url, told, getty.Config{})
		reaches(t, 1, "the number of sessions", func() int { return srv.Stats().Sessions })
		must(t, srv.Close())
		var ce *getty.CloseError
		if cause := receive(t, told.closed, "OnClose"); !errors.As(cause, &ce) || ce.Code != getty.CloseServiceRestart {
			t.Errorf("the cause is %v", cause)
		}
	})
}
