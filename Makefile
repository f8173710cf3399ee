# A bare `make` lists the targets. Variables are set on the command line: make run ARGS="--sync os".
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SUFFIXES:

# The race detector needs cgo and a C compiler; the binary needs neither.
TESTFLAGS = -race -timeout 20m
FUZZTIME  = 2000x
ROUNDS    = 10
BENCH     = .
PKG       = ./...
CRASH     = 200
SUITE     = compare
ARGS      =

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build ./bin/millrace
	CGO_ENABLED=0 go build -trimpath -o bin/millrace ./cmd/millrace

.PHONY: run
run: build ## build and start the broker on ./millrace-data; ARGS are more flags of millrace serve
	@exec ./bin/millrace serve --data ./millrace-data $(ARGS)

.PHONY: man
man: build ## write the manual pages to ./bin/man
	./bin/millrace man --dir bin/man

.PHONY: test
test: ## all tests, with the race detector
	go test $(TESTFLAGS) ./...

.PHONY: check
check: lint test fuzz ## the whole gate: format, vet, staticcheck, import rules, race tests, short fuzzes

# The import table and the other rules of layout_test.go are tests; they stand here too because they are quick.
.PHONY: lint
lint: ## the part of the gate that runs no broker
	@unformatted=$$(go tool gofumpt -l .)
	if [ -n "$$unformatted" ]; then echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; fi
	set -x
	go vet ./...
	go tool staticcheck ./...
	go test .

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME
	@go test -list '^Fuzz' ./... | awk '/^Fuzz/ {name[n++] = $$1} /^ok/ {for (i = 0; i < n; i++) print $$2, name[i]; n = 0}' |
	while read -r package target; do
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$package" </dev/null
	done

.PHONY: fmt
fmt: ## format the code
	go tool gofumpt -w .

.PHONY: bench
bench: ## Go benchmarks of PKG; with BASE=ref the same at that commit too, in turns, compared by benchstat
ifeq ($(BASE),)
	go test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)
else
	@work=$$(mktemp -d)
	trap 'git worktree remove --force "$$work/base"; echo "results: $$work"' EXIT
	git worktree add --quiet --detach "$$work/base" "$(BASE)"
	measure() { go test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG); }
	for round in $$(seq $(ROUNDS)); do
		echo "round $$round of $(ROUNDS)" >&2
		(cd "$$work/base" && measure) >>"$$work/base.txt"
		measure >>"$$work/head.txt"
	done
	go tool benchstat base="$$work/base.txt" head="$$work/head.txt"
endif

.PHONY: bench-compare
bench-compare: ## workloads on Millrace and on Debian's RabbitMQ, in turns, into docs/SUITE; ARGS are more flags of millrace bench run
	go test -count 1 -timeout 8h -v -run '^TestBrokersAreCompared$$' ./cmd/millrace -args -compare -compare.suite $(SUITE) -- \
		--out docs/$(SUITE) --note "commit $$(git rev-parse --short HEAD)" $(ARGS)

.PHONY: crash
crash: ## kills, power cuts, flipped bytes, lost files, full disks, uses after release: what was promised must hold; CRASH rounds
	go run ./tools/crash -rounds $(CRASH) $(ARGS)

.PHONY: compat
compat: ## the scenarios of the tests on Millrace and on Debian's RabbitMQ, and what differs
	go test $(TESTFLAGS) ./cmd/millrace ./server/internal/session
	go test -count 1 -timeout 20m -v -run '^TestScenariosOnRabbitMQ$$' ./cmd/millrace -args -compat $(ARGS)

.PHONY: clients
clients: ## stock clients of other languages against a broker
	tools/clients/run
