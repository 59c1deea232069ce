// SPDX-License-Identifier: Apache-2.0

package getty_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getty-net/getty"
	"github.com/getty-net/getty/codec"
)

// knock sends a request to a server's listener and reads the answer.
func knock(t *testing.T, url, request string) *http.Response {
	t.Helper()
	kind, _, _ := splitURL(url)
	nc := below(rawEnd(must2(rawDial(url)), kind, true, ""))
	t.Cleanup(func() { _ = nc.Close() })
	_, err := io.WriteString(nc, request)
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	must(t, err)
	must(t, nc.Close()) // the server waits for that, if it has refused
	return resp
}

func must2(nc net.Conn, err error) net.Conn {
	if err != nil {
		panic(err)
	}
	return nc
}

// request is a good handshake with some of its lines changed; "" leaves one out.
func request(changes map[string]string) string {
	lines := []string{
		"GET /lines HTTP/1.1", "Host: example.com", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + rawKey,
	}
	var b strings.Builder
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		if i := strings.IndexByte(line, ' '); i > 0 && !strings.Contains(line[:i], ":") {
			name = "GET"
		}
		if changed, ok := changes[name]; ok {
			line = changed
			delete(changes, name)
		}
		if line != "" {
			b.WriteString(line + "\r\n")
		}
	}
	for _, line := range changes {
		b.WriteString(line + "\r\n")
	}
	return b.String() + "\r\n"
}

func TestUpgradeRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		changes map[string]string
		status  int
		header  string // of the answer
	}{
		"good":              {nil, 101, "Sec-Websocket-Accept"},
		"tokens and case":   {map[string]string{"Connection": "connection: keep-alive, UPGRADE", "Upgrade": "upgrade: WebSocket"}, 101, ""},
		"post":              {map[string]string{"GET": "POST /lines HTTP/1.1"}, 405, "Allow"},
		"HTTP/1.0":          {map[string]string{"GET": "GET /lines HTTP/1.0"}, 505, ""},
		"another path":      {map[string]string{"GET": "GET /other HTTP/1.1"}, 404, ""},
		"with a query":      {map[string]string{"GET": "GET /lines?a=b HTTP/1.1"}, 101, ""},
		"no upgrade":        {map[string]string{"Upgrade": ""}, 426, "Upgrade"},
		"no connection":     {map[string]string{"Connection": ""}, 426, "Upgrade"},
		"version 8":         {map[string]string{"Sec-WebSocket-Version": "Sec-WebSocket-Version: 8"}, 426, "Sec-Websocket-Version"},
		"no version":        {map[string]string{"Sec-WebSocket-Version": ""}, 426, "Sec-Websocket-Version"},
		"no key":            {map[string]string{"Sec-WebSocket-Key": ""}, 400, ""},
		"short key":         {map[string]string{"Sec-WebSocket-Key": "Sec-WebSocket-Key: AAAA"}, 400, ""},
		"no base64":         {map[string]string{"Sec-WebSocket-Key": "Sec-WebSocket-Key: ????"}, 400, ""},
		"no host":           {map[string]string{"Host": ""}, 400, ""},
		"malformed":         {map[string]string{"GET": "GET"}, 400, ""},
		"body":              {map[string]string{"x": "Content-Length: 5"}, 400, ""},
		"same origin":       {map[string]string{"x": "Origin: http://example.com"}, 101, ""},
		"another origin":    {map[string]string{"x": "Origin: http://evil.example"}, 403, ""},
		"an allowed origin": {map[string]string{"x": "Origin: https://friend.example"}, 101, ""},
		"null origin":       {map[string]string{"x": "Origin: null"}, 403, ""},
		"long head":         {map[string]string{"x": "X-Long: " + strings.Repeat("x", 20<<10)}, 431, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe()
			_, url := serve(t, transport{"ws", func(testing.TB) string { return "ws://127.0.0.1:0/lines" }}, echo, getty.Config{
				Observer: o, WebSocket: getty.WebSocketConfig{Origins: []string{"https://friend.example"}},
			}, nil)
			resp := knock(t, url, request(tt.changes))
			if resp.StatusCode != tt.status || (tt.header != "" && resp.Header.Get(tt.header) == "") {
				t.Fatalf("the answer is %s with %v, want %d and %s", resp.Status, resp.Header, tt.status, tt.header)
			}
			if tt.status != 101 {
				var ue *getty.UpgradeError
				if err := receive(t, o.failed, "ConnFailed"); !errors.As(err, &ue) || ue.StatusCode != tt.status {
					t.Errorf("ConnFailed got %v", err)
				}
			}
		})
	}
}

// TestD35OriginsAreChecked, also with a list and with a function.
func TestD35OriginsAreChecked(t *testing.T) {
	friends := []string{"https://friend.example", "http://other.example:8080"}
	for name, tt := range map[string]struct {
		cfg    getty.WebSocketConfig
		origin string
		status int
	}{
		"none":               {getty.WebSocketConfig{}, "", 101},
		"same":               {getty.WebSocketConfig{}, "http://example.com", 101},
		"same, secure":       {getty.WebSocketConfig{}, "https://example.com", 101},
		"same, another case": {getty.WebSocketConfig{}, "https://EXAMPLE.com", 101},
		"another":            {getty.WebSocketConfig{}, "http://evil.example", 403},
		"another port":       {getty.WebSocketConfig{}, "http://example.com:81", 403},
		"longer":             {getty.WebSocketConfig{}, "http://example.com.evil.example", 403},
		"null":               {getty.WebSocketConfig{}, "null", 403},
		"in the list":        {getty.WebSocketConfig{Origins: friends}, "https://friend.example", 101},
		"in it, with a port": {getty.WebSocketConfig{Origins: friends}, "http://other.example:8080", 101},
		"same beside a list": {getty.WebSocketConfig{Origins: friends}, "https://example.com", 101},
		"not in the list":    {getty.WebSocketConfig{Origins: friends}, "https://evil.example", 403},
		"another scheme":     {getty.WebSocketConfig{Origins: friends}, "http://friend.example", 403},
		"any":                {getty.WebSocketConfig{Origins: []string{"*"}}, "http://evil.example", 101},
		"function yes":       {getty.WebSocketConfig{CheckOrigin: func(*http.Request) bool { return true }}, "http://evil.example", 101},
		"function no":        {getty.WebSocketConfig{CheckOrigin: func(*http.Request) bool { return false }}, "http://example.com", 403},
	} {
		t.Run(name, func(t *testing.T) {
			eachWebSocket(t, func(t *testing.T, tr transport) {
				_, url := serve(t, tr, echo, getty.Config{WebSocket: tt.cfg}, nil)
				_, _, path := splitURL(url)
				changes := map[string]string{"GET": "GET " + cmp.Or(path, "/") + " HTTP/1.1"}
				if tt.origin != "" {
					changes["x"] = "Origin: " + tt.origin
				}
				if resp := knock(t, url, request(changes)); resp.StatusCode != tt.status {
					t.Errorf("the answer is %s, want %d", resp.Status, tt.status)
				}
			})
		})
	}
}

const interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"

// TestInterimAnswersAreSkipped: a client waits for the one that switches.
func TestInterimAnswersAreSkipped(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		url, accept := listenRaw(t, tr)
		r := record()
		r.onOpen = func(s *session) error {
			if resp := s.Upgrade().Response; resp == nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Errorf("the answer is %+v", resp)
			}
			return s.Send("hello")
		}
		dialed := make(chan error, 1)
		go func() {
			_, err := getty.Dial(within(t), url, codec.Line{}, r, getty.Config{TLS: clientTLS()})
			dialed <- err
		}()
		w := accept().(*wsRaw)
		_, err := io.WriteString(w.Conn, interim+"HTTP/1.1 100 Continue\r\n\r\n")
		must(t, err)
		must(t, w.Handshake())
		must(t, receive(t, dialed, "end of Dial"))
		wantFrames(t, w, []ruleFrame{binaryFrame("hello\n")})
		must(t, w.Close())
		receive(t, r.closed, "OnClose")
	})
}

func TestUpgradeAnswers(t *testing.T) {
	const good = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	for name, tt := range map[string]struct {
		answer string
		status int
		want   string
	}{
		"redirect":       {"HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\n\r\n", 302, "ws://elsewhere/"},
		"refused":        {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 401, "does not switch"},
		"no accept":      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 101, "Sec-WebSocket-Accept"},
		"other accept":   {"HTTP/1.1 101 Switching Protocols\r\n" + good + "\r\n", 101, "Sec-WebSocket-Accept"},
		"no upgrade":     {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n", 101, "upgrade"},
		"interim, no":    {interim + interim + "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 401, "does not switch"},
		"interim only":   {interim, 0, "EOF"},
		"interim always": {strings.Repeat(interim, 1000), 0, "MaxHeaderBytes"},
		"not HTTP":       {"220 smtp.example.com\r\n\r\n", 0, "malformed"},
		"never ending":   {"HTTP/1.1 101 " + strings.Repeat("x", 20<<10) + "\r\n", 0, "MaxHeaderBytes"},
		"closed at once": {"", 0, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer l.Close()
			var serving sync.WaitGroup
			defer serving.Wait()
			serving.Go(func() {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = http.ReadRequest(bufio.NewReader(nc))
				_, _ = io.WriteString(nc, tt.answer)
				_ = nc.Close()
			})
			_, err = getty.Dial(within(t), "ws://"+l.Addr().String(), codec.Line{}, record(), getty.Config{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("the error is %v, want %q", err, tt.want)
			}
			var ue *getty.UpgradeError
			if tt.status != 0 && (!errors.As(err, &ue) || ue.StatusCode != tt.status) {
				t.Errorf("the error is %#v, want an UpgradeError with %d", err, tt.status)
			}
		})
	}
}

func TestSubprotocolsHeadersAndTLSState(t *testing.T) {
	for _, kind := range []string{"ws", "wss"} {
		t.Run(kind, func(t *testing.T) {
			seen := make(chan *getty.Upgrade, 1)
			srv, err := getty.NewServer(codec.Line{}, echo, getty.Config{
				TLS: serverTLS(),
				WebSocket: getty.WebSocketConfig{
					Subprotocols: []string{"v2", "v1"}, Header: http.Header{"X-Server": {"s"}}, Deflate: getty.Deflate{Enabled: true},
				},
			})
			must(t, err)
			srv.Configure = func(s *session, _ *setup) error {
				seen <- s.Upgrade()
				return nil
			}
			must(t, srv.Listen(kind+"://127.0.0.1:0/a%20path/x"))
			t.Cleanup(func() { must(t, srv.Shutdown(within(t))) })
			asked := make(chan *getty.Upgrade, 1)
			client := record()
			client.onOpen = func(s *session) error {
				asked <- s.Upgrade()
				return nil
			}
			s := dial(t, srv.URLs()[0]+"?q=1", client, getty.Config{WebSocket: getty.WebSocketConfig{
				Subprotocols: []string{"v0", "v1", "v2"}, Header: http.Header{"Authorization": {"Bearer x"}}, Deflate: getty.Deflate{Enabled: true},
			}})
			up := receive(t, seen, "Configure")
			r := up.Request
			if up.Subprotocol != "v2" || !up.Compressed || up.Response != nil {
				t.Errorf("the server has %+v", up)
			}
			if r.Header.Get("Authorization") != "Bearer x" || r.URL.Path != "/a path/x" || r.URL.RawQuery != "q=1" || r.RemoteAddr == "" {
				t.Errorf("the request is %+v", r)
			}
			if (r.TLS != nil) != (kind == "wss") || (r.TLS != nil && !r.TLS.HandshakeComplete) {
				t.Errorf("the TLS state is %+v", r.TLS)
			}
			if up := receive(t, asked, "OnOpen"); up.Response == nil || s.Upgrade().Response == nil {
				t.Error("what was asked for in OnOpen is not kept")
			}
			up = s.Upgrade()
			if up.Subprotocol != "v2" || !up.Compressed || up.Request != nil || up.Response.Header.Get("X-Server") != "s" {
				t.Errorf("the client has %+v", up)
			}
		})
	}
}

// TestWebSocketAgreesOnHTTP1: protocols that the configuration is for otherwise
// are not agreed on.
func TestWebSocketAgreesOnHTTP1(t *testing.T) {
	server, client := serverTLS(), clientTLS()
	server.NextProtos, client.NextProtos = []string{"h2", "http/1.1"}, []string{"h2", "http/1.1"}
	_, url := serve(t, transport{"wss", func(testing.TB) string { return "wss://127.0.0.1:0" }}, echo, getty.Config{TLS: server}, nil)
	answers := record()
	s := dial(t, url, answers, getty.Config{TLS: client})
	if got := s.NetConn().(*tls.Conn).ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("agreed on %q", got)
	}
	must(t, s.Send("hello"))
	receive(t, answers.messages, "answer")
}

// TestUpgradeIsGivenUp where nobody asks.
func TestUpgradeIsGivenUp(t *testing.T) {
	eachWebSocket(t, func(t *testing.T, tr transport) {
		r := record()
		_, url := serve(t, tr, r, getty.Config{WebSocket: getty.WebSocketConfig{Subprotocols: []string{"v1"}}}, nil)
		s := dial(t, url, record(), getty.Config{WebSocket: getty.WebSocketConfig{Subprotocols: []string{"v1"}}})
		must(t, s.Send("after OnOpen"))
		receive(t, r.messages, "message")
		for _, s := range []*session{s, receive(t, r.opened, "OnOpen")} {
			if up := s.Upgrade(); up.Request != nil || up.Response != nil || up.Subprotocol != "v1" {
				t.Errorf("it is %+v", up)
			}
		}
	})
}

func TestUpgradeIsNilElsewhere(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport) {
		_, url := serve(t, tr, echo, getty.Config{}, nil)
		if up := dial(t, url, record(), getty.Config{}).Upgrade(); up != nil {
			t.Errorf("it is %+v", up)
		}
	})
}

// TestServeHTTP mounts the server beside another handler, behind a middleware
// that wraps the ResponseWriter.
func TestServeHTTP(t *testing.T) {
	for _, kind := range []string{"ws", "wss"} {
		t.Run(kind, func(t *testing.T) {
			r := record()
			r.onMessage = func(s *session, m string) error { return s.Send(m) }
			r.onOpen = func(s *session) error {
				_ = s.Upgrade() // so that it is kept
				return nil
			}
			srv, err := getty.NewServer(codec.Line{}, r, getty.Config{})
			must(t, err)
			mux := http.NewServeMux()
			mux.Handle("/chat/{room}", srv)
			mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "well") })
			var hs *httptest.Server
			wrapped := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(unwrapper{w}, r) })
			cfg := getty.Config{}
			if kind == "wss" {
				hs = httptest.NewTLSServer(wrapped)
				cfg.TLS = hs.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			} else {
				hs = httptest.NewServer(wrapped)
			}
			defer hs.Close()
			resp, err := hs.Client().Get(hs.URL + "/health")
			must(t, err)
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if string(body) != "well" {
				t.Errorf("the other handler answers %q", body)
			}
			if resp, err = hs.Client().Get(hs.URL + "/chat/1"); err != nil || resp.StatusCode != http.StatusUpgradeRequired {
				t.Errorf("a plain GET gets %v, %v", resp, err)
			}
			_ = resp.Body.Close()
			answers := record()
			s := dial(t, strings.Replace(hs.URL, "http", "ws", 1)+"/chat/7", answers, cfg)
			must(t, s.Send("hello"))
			if got := receive(t, answers.messages, "answer"); got != "hello" {
				t.Errorf("the answer is %q", got)
			}
			accepted := receive(t, r.opened, "OnOpen")
			if up := accepted.Upgrade(); up.Request.URL.Path != "/chat/7" || up.Request.PathValue("room") != "7" || (up.Request.TLS != nil) != (kind == "wss") {
				t.Errorf("the request is %+v", up.Request)
			}
			accepted.Upgrade().Request.Header.Set("X-Changed", "by one caller")
			if accepted.Upgrade().Request.Header.Get("X-Changed") != "" {
				t.Error("callers of Upgrade share a request")
			}
			if accepted.Transport() != kind {
				t.Errorf("the transport is %q", accepted.Transport())
			}
			must(t, srv.Shutdown(within(t)))
			var ce *getty.CloseError
			if cause := receive(t, answers.closed, "OnClose"); !errors.As(cause, &ce) || ce.Code != getty.CloseServiceRestart {
				t.Errorf("the client's cause is %v", cause)
			}
			resp, err = hs.Client().Do(handshakeRequest(hs.URL + "/chat/8"))
			must(t, err)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("after Shutdown the answer is %s", resp.Status)
			}
		})
	}
}

func handshakeRequest(url string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, url, nil)
	r.Header = http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {rawKey},
	}
	return r
}

// unwrapper is a middleware's ResponseWriter.
type unwrapper struct{ http.ResponseWriter }

func (u unwrapper) Unwrap() http.ResponseWriter { return u.ResponseWriter }

func TestConnectProxy(t *testing.T) {
	for kind, connected := range map[string]string{"ws": "200 OK", "wss": "204 No Content"} {
		t.Run(kind, func(t *testing.T) {
			_, target := serve(t, transport{kind, func(testing.TB) string { return kind + "://127.0.0.1:0/lines" }}, echo, getty.Config{}, nil)
			asked := make(chan *http.Request, 1)
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- r
				if r.Header.Get("Proxy-Authorization") == "" {
					w.WriteHeader(http.StatusProxyAuthRequired)
					return
				}
				up := must2(net.Dial("tcp", r.Host))
				down, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(down, interim+"HTTP/1.1 "+connected+"\r\n\r\n")
				go func() { _, _ = io.Copy(up, down); _ = up.Close() }()
				_, _ = io.Copy(down, up)
				_ = down.Close()
			}))
			defer proxy.Close()
			through := func(user string) getty.Config {
				p, err := url.Parse("http://" + user + strings.TrimPrefix(proxy.URL, "http://"))
				must(t, err)
				return getty.Config{TLS: clientTLS(), WebSocket: getty.WebSocketConfig{Proxy: http.ProxyURL(p)}}
			}
			answers := record()
			s := dial(t, target, answers, through("user:secret@"))
			must(t, s.Send("through"))
			receive(t, answers.messages, "answer")
			if r := receive(t, asked, "request of the proxy"); r.Method != http.MethodConnect {
				t.Errorf("the proxy was asked to %s", r.Method)
			}
			_, err := getty.Dial(within(t), target, codec.Line{}, record(), through(""))
			var ue *getty.UpgradeError
			if !errors.As(err, &ue) || ue.StatusCode != http.StatusProxyAuthRequired {
				t.Errorf("refused by the proxy: %v", err)
			}
			must(t, s.Close())
			receive(t, answers.closed, "OnClose")
		})
	}
}

func TestProxiesOfOtherKindsAreRefused(t *testing.T) {
	p, _ := url.Parse("socks5://127.0.0.1:1080")
	_, err := getty.Dial(context.Background(), "ws://127.0.0.1:1", codec.Line{}, record(),
		getty.Config{WebSocket: getty.WebSocketConfig{Proxy: http.ProxyURL(p)}})
	var ce *getty.ConfigError
	if !errors.As(err, &ce) || ce.Field != "WebSocket.Proxy" {
		t.Errorf("the error is %v", err)
	}
}

func TestDeflateParameters(t *testing.T) {
	for name, tt := range map[string]struct {
		offer    string
		takeover bool
		bits     int
		want     string // of the answer; "": declined
	}{
		"plain":                {"permessage-deflate", false, 0, "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		"plain, takeover":      {"permessage-deflate", true, 0, "permessage-deflate"},
		"client without":       {"permessage-deflate; client_no_context_takeover", true, 0, "permessage-deflate; client_no_context_takeover"},
		"server without":       {"permessage-deflate; server_no_context_takeover", true, 0, "permessage-deflate; server_no_context_takeover"},
		"server bits":          {"permessage-deflate; server_max_window_bits=10", true, 0, "permessage-deflate; server_max_window_bits=10"},
		"server bits, all":     {"permessage-deflate; server_max_window_bits=15", true, 0, "permessage-deflate; server_max_window_bits=15"},
		"server bits, fewer":   {"permessage-deflate; server_max_window_bits=15", true, 9, "permessage-deflate; server_max_window_bits=9"},
		"quoted":               {`permessage-deflate; server_max_window_bits="10"`, true, 0, "permessage-deflate; server_max_window_bits=10"},
		"client bits allowed":  {"permessage-deflate; client_max_window_bits", true, 9, "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9"},
		"client bits not":      {"permessage-deflate", true, 9, "permessage-deflate; server_max_window_bits=9"},
		"client bits given":    {"permessage-deflate; client_max_window_bits=12", true, 0, "permessage-deflate; client_max_window_bits=12"},
		"unknown parameter":    {"permessage-deflate; what=1", true, 0, ""},
		"bad bits":             {"permessage-deflate; server_max_window_bits=16", true, 0, ""},
		"bits without a value": {"permessage-deflate; server_max_window_bits", true, 0, ""},
		"leading zero":         {"permessage-deflate; server_max_window_bits=010", true, 0, ""},
		"twice":                {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", true, 0, ""},
		"value where none":     {"permessage-deflate; client_no_context_takeover=1", true, 0, ""},
		"the second offer":     {"permessage-deflate; what, permessage-deflate; server_max_window_bits=8", true, 0, "permessage-deflate; server_max_window_bits=8"},
		"another extension":    {"x-other, permessage-deflate", true, 0, "permessage-deflate"},
		"none":                 {"x-other", true, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, url := serve(t, transport{"ws", func(testing.TB) string { return "ws://127.0.0.1:0/lines" }}, echo, getty.Config{
				WebSocket: getty.WebSocketConfig{Deflate: getty.Deflate{Enabled: true, ContextTakeover: tt.takeover, WindowBits: tt.bits}},
			}, nil)
			resp := knock(t, url, request(map[string]string{"x": "Sec-WebSocket-Extensions: " + tt.offer}))
			if got := resp.Header.Get("Sec-Websocket-Extensions"); resp.StatusCode != 101 || got != tt.want {
				t.Errorf("the answer is %s with %q, want %q", resp.Status, got, tt.want)
			}
		})
	}
}

// TestDeflateBothEndsOfGetty: client and server agree in every combination.
func TestDeflateBothEndsOfGetty(t *testing.T) {
	settings := []getty.Deflate{
		{},
		{Enabled: true},
		{Enabled: true, ContextTakeover: true},
		{Enabled: true, WindowBits: 9},
		{Enabled: true, ContextTakeover: true, WindowBits: 8},
	}
	for i, server := range settings {
		for j, client := range settings {
			t.Run(fmt.Sprintf("%d-%d", i, j), func(t *testing.T) {
				_, url := serve(t, transport{"ws", func(testing.TB) string { return "ws://127.0.0.1:0/lines" }}, echo,
					getty.Config{WebSocket: getty.WebSocketConfig{Deflate: server}}, nil)
				answers := record()
				s := dial(t, url, answers, getty.Config{WebSocket: getty.WebSocketConfig{Deflate: client}})
				if got := s.Upgrade().Compressed; got != (server.Enabled && client.Enabled) {
					t.Errorf("compressed: %v", got)
				}
				for n := range 50 {
					message := strings.Repeat(fmt.Sprint("abc", n), n*20)
					must(t, s.Send(message))
					if got := receive(t, answers.messages, "answer"); got != message {
						t.Fatalf("message %d came back as %.40q", n, got)
					}
				}
			})
		}
	}
}

// TestPreparedOverWebSocket: all sessions get the message, whatever they agreed on.
func TestPreparedOverWebSocket(t *testing.T) {
	r := record()
	_, url := serve(t, transport{"ws", func(testing.TB) string { return "ws://127.0.0.1:0/lines" }}, r,
		getty.Config{WebSocket: getty.WebSocketConfig{MessageType: getty.MessageText, Deflate: getty.Deflate{Enabled: true}}}, nil)
	line := strings.Repeat("to all of you, ", 100)
	var got []*recorder
	var sessions []*session
	for _, d := range []getty.Deflate{{}, {Enabled: true}, {Enabled: true, ContextTakeover: true}, {Enabled: true, WindowBits: 9}} {
		answers := record()
		dial(t, url, answers, getty.Config{WebSocket: getty.WebSocketConfig{Deflate: d}})
		got = append(got, answers)
		sessions = append(sessions, receive(t, r.opened, "OnOpen"))
	}
	p, err := sessions[0].Prepare(line)
	must(t, err)
	for range 3 {
		for _, s := range sessions {
			must(t, s.SendPrepared(nil, p)) //nolint:staticcheck // nil is allowed
		}
	}
	for _, answers := range got {
		for range 3 {
			if m := receive(t, answers.messages, "message"); m != line {
				t.Errorf("the message is %.40q", m)
			}
		}
	}
}

// TestTextMustBeText: what is no UTF-8 is not sent as text.
func TestTextMustBeText(t *testing.T) {
	_, url := serve(t, transport{"ws", func(testing.TB) string { return "ws://127.0.0.1:0/lines" }}, echo, getty.Config{}, nil)
	answers := record()
	s := dial(t, url, answers, getty.Config{WebSocket: getty.WebSocketConfig{MessageType: getty.MessageText}})
	wantSendError(t, s.Send("\xff"), getty.ErrInvalidUTF8)
	wantSendError(t, s.Send(strings.Repeat("x", 100<<10)+"\xff"), getty.ErrInvalidUTF8) // the buffer had to grow for it
	must(t, s.Send("ÿ"))
	if got := receive(t, answers.messages, "answer"); got != "ÿ" {
		t.Errorf("the answer is %q", got)
	}
}

// A handshake that ends when its time does has failed or has not: no session is
// opened and then ended for it.
func TestHandshakeInTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &virtual{Network: newNetwork(), ws: true, start: time.Now()}
		srv := v.serve(t, record(), getty.Config{HandshakeTimeout: time.Second}, nil)
		const tries = 500
		for range tries {
			nc, err := v.Dial(t.Context(), "tcp", "server:1")
			must(t, err)
			time.Sleep(time.Second)
			_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: server\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			synctest.Wait()
			_ = nc.Close()
		}
		synctest.Wait()
		if st := srv.Stats(); st.Causes["handshake timeout"] != 0 || st.Opened+st.Refusals["handshake timeout"] != tries {
			t.Errorf("%d were opened and ended with %v, the others with %v", st.Opened, st.Causes, st.Refusals)
		}
	})
}
