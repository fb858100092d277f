# Spokeway. `make demo` shows it at work, `make test` tests everything; both install what they need when run as root.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BIN     := bin/spokeway
export CGO_ENABLED = 0

# Packages whose tests have real traffic, and so the machine to themselves.
ALONE   := /internal/(lab|sys|dataplane/user)$$|/test/

.PHONY: build demo test quick race fuzz bench setup install clean docs

build: ## bin/spokeway, static
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN) ./cmd/spokeway

demo: build ## two hubs, two spokes and a story, in network namespaces (root)
	@sh test/setup demo
	@$(BIN) lab run examples/lab/demo.yaml

test: ## everything; installs what it needs when root
	@sh test/setup test
	@$(GO) vet ./...
	@{ $(GO) test -json -count=1 -timeout 20m $$($(GO) list ./... | grep -vE '$(ALONE)'); \
	   $(GO) test -json -count=1 -timeout 20m -p 1 $$($(GO) list ./... | grep -E '$(ALONE)'); \
	 } | $(GO) run ./test/summary $(if $(CI),-no-skips) -slow 60s

quick: ## what needs neither root nor tools
	@$(GO) test -short ./...

race: ## with the race detector (needs a C compiler)
	@CGO_ENABLED=1 $(GO) test -race -count=1 ./internal/core/... ./internal/router/... ./internal/api/... ./internal/sys/... ./internal/dataplane/... ./internal/lab/...

fuzz: ## every fuzz target for FUZZTIME each
	@sh test/fuzz $(FUZZTIME)

bench: build ## figures of docs/performance.md
	@sh test/setup bench
	@sh test/bench/run

docs: ## the generated references
	$(GO) test ./internal/conf ./internal/query ./cmd/spokeway -run 'Reference|Docs|Man' -update

install: build ## binary, man page and systemd unit
	install -D $(BIN) $(DESTDIR)/usr/bin/spokeway
	install -D -m 644 packaging/spokeway.service $(DESTDIR)/usr/lib/systemd/system/spokeway.service
	install -D -m 644 packaging/spokeway.sysusers $(DESTDIR)/usr/lib/sysusers.d/spokeway.conf
	install -D -m 644 packaging/spokeway.tmpfiles $(DESTDIR)/usr/lib/tmpfiles.d/spokeway.conf
	install -D -m 644 packaging/spokeway.1 $(DESTDIR)/usr/share/man/man1/spokeway.1

clean:
	rm -rf bin
