# SPDX-License-Identifier: Apache-2.0

GOLANGCI_LINT_VERSION := v2.15.0
GOFUMPT_VERSION       := v0.12.0
GOVULNCHECK_VERSION   := v1.9.0

# How long each fuzz target runs, and what is handed to the demo.
FUZZTIME  ?= 3s
# How long the soak runs, with how many sessions, and the flood.
DURATION  ?= 5m
SESSIONS  ?= 5000
FLOODTIME ?= 60s
ARGS      ?=

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# Neither a go.work further up nor the owner of the checkout matters.
export GOWORK  := off
export GOFLAGS ?= -buildvcs=false

LINT    := bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOFUMPT := bin/gofumpt-$(GOFUMPT_VERSION)
CHECK   := bin/check -lint $(LINT) -gofumpt $(GOFUMPT) -fuzztime $(FUZZTIME)
MODULES  = $(shell find . -name go.mod -not -path '*/.*/*' -not -path '*/node_modules/*' | sed 's|/go.mod$$||' | sort)

.DEFAULT_GOAL := help
.PHONY: help demo test race lint fuzz faults govulncheck soak flood bench cover fmt vet tidy tools check

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## show what getty does; ARGS='...' is handed on
	@go build -C cmd/getty -o $(CURDIR)/bin/getty .
	@exec bin/getty demo $(ARGS)

test: check ## everything that CI does: all checks and all tests of all modules
	-@$(MAKE) -s tools
	@exec $(CHECK)

race: check ## the tests of all modules under the race detector, and those of the portable I/O
	@exec $(CHECK) race portable

lint: check $(LINT) ## golangci-lint in all modules
	@exec $(CHECK) lint

vet: check ## go vet for every supported system
	@exec $(CHECK) vet

fuzz: check ## every fuzz target for FUZZTIME
	@exec $(CHECK) fuzz

govulncheck: ## known vulnerabilities of all modules; needs vuln.go.dev
	@for m in $(MODULES); do echo "$$m:"; go -C $$m run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) ./...; done

soak: ## SESSIONS sessions with faults and restarts for DURATION; writes docs/soak.csv and docs/soak.svg
	@go build -C soak -o $(CURDIR)/bin/soak .
	@exec bin/soak -duration $(DURATION) -sessions $(SESSIONS) -out docs $(ARGS)

flood: ## hostile frames from 200 connections for FLOODTIME
	@go build -C soak -o $(CURDIR)/bin/soak .
	@exec bin/soak -flood 200 -sessions 60 -duration $(FLOODTIME) $(ARGS)

faults: ## every fault on every transport, see docs/faults.md; ARGS='-args -write' writes that page
	@cd faults && exec go test -count=1 -timeout=5m . $(ARGS)

bench: ## measure getty and its peers; writes bench/results
	@cd bench && exec go run ./cmd/compare $(ARGS)

cover: ## coverage of the root module
	@mkdir -p bin
	@go test -timeout=5m -coverpkg=./... -coverprofile=cover.out ./... >bin/cover.log 2>&1 || { cat bin/cover.log; exit 1; }
	@go tool cover -func=cover.out | tail -n 1

fmt: $(GOFUMPT) ## format all Go files
	@$(GOFUMPT) -l -w .

tidy: ## go mod tidy in all modules
	@for m in $(MODULES); do go -C $$m mod tidy; done
	@go -C bench mod tidy -modfile=dropin.mod

tools: $(LINT) $(GOFUMPT) ## install the pinned tools into bin/ and the packages that the tests need
	@scripts/packages.sh

check:
	@go build -C scripts -o $(CURDIR)/bin/check ./check

# install PACKAGE,VERSION: the name of the program in bin/ has the version, so that a new one is noticed.
define install
	@mkdir -p bin
	@echo "installing $(notdir $(1)) $(2)"
	@GOBIN=$(CURDIR)/bin go install $(1)@$(2) 2>bin/install.log || { cat bin/install.log >&2; exit 1; }
	@rm bin/install.log
	@mv bin/$(notdir $(1)) $@
endef

$(LINT):
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_LINT_VERSION))

$(GOFUMPT):
	$(call install,mvdan.cc/gofumpt,$(GOFUMPT_VERSION))
