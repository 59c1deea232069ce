// SPDX-License-Identifier: Apache-2.0

package gettytest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
	"github.com/getty-net/getty/gettytest"
)

func wantErrIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

func TestRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // OnCron may overlap
		var hooks []string
		hook := func(v any) error {
			mu.Lock()
			defer mu.Unlock()
			hooks = append(hooks, fmt.Sprint(v))
			return nil
		}
		server := &recorder{
			OnOpenFunc:    func(*getty.Session[string]) error { return hook("open") },
			OnMessageFunc: func(_ *getty.Session[string], msg string) error { return hook(msg) },
			OnCronFunc:    func(*getty.Session[string]) { _ = hook("cron") },
			OnCloseFunc:   func(_ *getty.Session[string], cause error) { _ = hook(cause) },
		}
		p := linePair(t, server, new(recorder), gettytest.Options{Server: getty.Config{CronPeriod: time.Second}})
		check(t, p.Client.Send(t.Context(), "hello"))
		time.Sleep(1500 * time.Millisecond)
		check(t, p.Client.Shutdown(t.Context()))
		check(t, server.WaitClosed(t.Context()))
		synctest.Wait()

		want := []string{"open", "message hello", "cron", "close: EOF"}
		events := server.Events()
		if got := fmt.Sprint(events); got != fmt.Sprint(want) {
			t.Errorf("events %v, want %v", got, want)
		}
		for _, e := range events {
			if e.Session != server.Sessions()[0] {
				t.Errorf("%v is of another session", e)
			}
		}
		if !slices.Equal(hooks, []string{"open", "hello", "cron", "EOF"}) {
			t.Errorf("hooks %q", hooks)
		}
		if got := server.Causes(); len(got) != 1 || !errors.Is(got[0], io.EOF) {
			t.Errorf("causes %v", got)
		}
	})
}

func TestRecorderCopiesMessages(t *testing.T) {
	type frame []byte
	bytesOf, framesOf := new(gettytest.Recorder[[]byte]), new(gettytest.Recorder[frame])
	b := []byte("abc")
	check(t, bytesOf.OnMessage(nil, b))
	check(t, framesOf.OnMessage(nil, b))
	b[0] = 'x'
	if got := bytesOf.Messages()[0]; string(got) != "abc" || bytesOf.Texts()[0] != "abc" {
		t.Errorf("recorded %q as %q", got, bytesOf.Texts()[0])
	}
	if got := framesOf.Messages()[0]; string(got) != "abc" || framesOf.Texts()[0] != "abc" {
		t.Errorf("recorded %q as %q", got, framesOf.Texts()[0])
	}

	type message struct{ Body []byte }
	texts := new(gettytest.Recorder[*message])
	check(t, texts.OnMessage(nil, &message{[]byte{1}}))
	if got := texts.Messages()[0]; got != nil || texts.Texts()[0] != "&{[1]}" {
		t.Errorf("recorded %v as %q", got, texts.Texts()[0])
	}
	clones := &gettytest.Recorder[*message]{Clone: func(m *message) *message { return &message{slices.Clone(m.Body)} }}
	m := &message{[]byte{1}}
	check(t, clones.OnMessage(nil, m))
	m.Body[0] = 2
	if got := clones.Messages()[0]; got.Body[0] != 1 {
		t.Errorf("recorded %v", got)
	}

	anys := new(gettytest.Recorder[any])
	for _, v := range []any{nil, 1, "two", true} {
		check(t, anys.OnMessage(nil, v))
	}
	if got := anys.Messages(); !slices.Equal(got, []any{nil, 1, "two", true}) {
		t.Errorf("recorded %v", got)
	}
}

func TestRecorderWaitsInTheBubble(t *testing.T) {
	r := new(recorder) // also one that was made outside
	synctest.Test(t, func(t *testing.T) {
		for i := range 3 {
			time.AfterFunc(time.Duration(i)*time.Hour, func() { _ = r.OnMessage(nil, fmt.Sprint(i)) })
		}
		got, err := r.WaitMessages(t.Context(), 2)
		if !slices.Equal(got, []string{"0", "1"}) || err != nil {
			t.Errorf("WaitMessages = %q, %v", got, err)
		}
		check(t, r.Wait(t.Context(), func(events []gettytest.Event[string]) bool {
			return events[len(events)-1].Text == "2"
		}))
	})
}

func TestRecorderWaitErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(recorder)
		for i := range 10 {
			_ = r.OnMessage(nil, fmt.Sprint(i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := r.WaitMessages(ctx, 11)
		wantErrIs(t, err, context.DeadlineExceeded)
		const want = `gettytest: wait for 11 events "message": have 10 events, the last ` +
			`[message 2 message 3 message 4 message 5 message 6 message 7 message 8 message 9]: context deadline exceeded`
		if err != nil && err.Error() != want {
			t.Errorf("the error is\n%v, want\n%v", err, want)
		}
		_, err = r.WaitOpen(ctx, 1)
		wantErrIs(t, err, context.DeadlineExceeded)
		wantErrIs(t, r.WaitClosed(ctx), context.DeadlineExceeded)
		if _, err := r.WaitMessages(ctx, 10); err != nil {
			t.Errorf("what is there already: %v", err)
		}
	})
}

func TestRecorderOverSockets(t *testing.T) {
	server, client := &recorder{}, &recorder{}
	srv, err := getty.NewServer(codec.Line{}, server, getty.Config{})
	check(t, err)
	check(t, srv.Listen("tcp://127.0.0.1:0"))
	s, err := getty.Dial(t.Context(), srv.URLs()[0], codec.Line{}, client, getty.Config{})
	check(t, err)
	check(t, s.Send("hello"))
	got, err := server.WaitMessages(t.Context(), 1)
	if err != nil || got[0] != "hello" {
		t.Errorf("WaitMessages = %q, %v", got, err)
	}
	check(t, s.Close())
	check(t, client.WaitClosed(t.Context()))
	check(t, server.WaitClosed(t.Context()))
	check(t, srv.Shutdown(t.Context()))
}

func TestEventKind(t *testing.T) {
	if got := fmt.Sprint(gettytest.Opened, gettytest.Closed, gettytest.EventKind(9)); got != "open close invalid" {
		t.Errorf("kinds are %s", got)
	}
}
