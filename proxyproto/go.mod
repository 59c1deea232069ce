module github.com/getty-net/getty/proxyproto

go 1.26

replace github.com/getty-net/getty => ..

require (
	github.com/getty-net/getty v0.0.0-00010101000000-000000000000
	github.com/pires/go-proxyproto v0.15.0 // 0.16.0 needs Go 1.26.9
	go.uber.org/goleak v1.3.0
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/ws v1.5.0 // indirect
	github.com/klauspost/compress v1.20.4 // indirect
)
