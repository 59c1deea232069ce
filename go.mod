module github.com/getty-net/getty

go 1.26

require (
	github.com/gobwas/ws v1.5.0
	github.com/klauspost/compress v1.20.4
	go.uber.org/goleak v1.3.0
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/stretchr/testify v1.10.0 // indirect
)
