module github.com/getty-net/getty/scripts

go 1.26
