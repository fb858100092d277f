# Spokeway. `make demo` shows it at work, `make test` tests everything; both install what they need when run as root.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BIN     := bin/spokeway
export CGO_ENABLED = 0

# Tests with real traffic. Scenes with peers wait for the peers' timers most of the time, many at once, and go after the packages
# that compute. What is about how soon something happens, or that nothing is lost meanwhile, has the machine to itself.
PEERS   := /test/peers$$
ALONE   := /internal/(lab|sys|dataplane/user)$$|/test/(bench|system)$$

.PHONY: build demo test quick race fuzz bench setup install clean docs

build: ## bin/spokeway, static
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN) ./cmd/spokeway

demo: build ## two hubs, two spokes and a story, in network namespaces (root)
	@sh test/setup demo
	@$(BIN) lab run examples/lab/demo.yaml

test: ## everything; installs what it needs when root
	@sh test/setup test
	@$(GO) vet ./...
	@all=$$($(GO) list ./...) && \
	among() { echo "$$all" | grep -E "$$1"; } && \
	run() { $(GO) test -json -count=1 -timeout 20m "$$@"; } && \
	{ run -p 2 $$(echo "$$all" | grep -vE '$(PEERS)|$(ALONE)'); \
	  run -p 1 $$(among '$(PEERS)'); \
	  run -p 1 $$(among '$(ALONE)'); \
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
	$(GO) test ./internal/conf ./internal/query ./cmd/spokeway -run 'Reference|Docs|Man|Generated' -update

install: build ## binary, man page and systemd unit
	install -D $(BIN) $(DESTDIR)/usr/bin/spokeway
	install -D -m 644 packaging/spokeway.service $(DESTDIR)/usr/lib/systemd/system/spokeway.service
	install -D -m 644 packaging/spokeway.sysusers $(DESTDIR)/usr/lib/sysusers.d/spokeway.conf
	install -D -m 644 packaging/spokeway.tmpfiles $(DESTDIR)/usr/lib/tmpfiles.d/spokeway.conf
	install -D -m 644 packaging/spokeway.1 $(DESTDIR)/usr/share/man/man1/spokeway.1

clean:
	rm -rf bin
