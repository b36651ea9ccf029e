.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test lint unit integration browser autobahn api-fuzz api-document audit bench bench-access bench-hub bench-store fuzz fmt clean pages server tools

# Debian keeps nginx where the PATH of an ordinary user does not lead; cargo-deny is put below target/.
export PATH := $(PATH):/usr/sbin:$(CURDIR)/target/tools/bin

STEP := scripts/step
# Runs a command with the URL of a Postgres for tests in IAQ_TEST_POSTGRES_URL.
WITH_POSTGRES := scripts/test-postgres exec
NPM := npm --prefix frontend
NODE_MODULES := frontend/node_modules/.package-lock.json
DEMO_DB := target/demo/readings.db

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

run: tools pages ## Build everything and serve the demo on http://127.0.0.1:8080
	cargo build --release --locked
	@echo
	@echo "Demo: http://127.0.0.1:8080 shows a simulated building, live; Ctrl-C stops it."
	@echo "Its readings stay in $(DEMO_DB), which make clean removes."
	@echo
	@mkdir -p $(dir $(DEMO_DB))
	@DATABASE_URL=sqlite://$(DEMO_DB) IAQ_BIND=127.0.0.1:8080 exec target/release/iaqverse serve --demo

test: ## Install what the tests need, then lint and run all tests
	@scripts/install-test-tools
	@rm -rf target/test-logs && mkdir -p target/test-logs
	@status=0; \
	$(WITH_POSTGRES) $(MAKE) --no-print-directory lint unit integration browser autobahn api-fuzz || status=$$?; \
	scripts/count-tests target/test-logs || status=1; \
	exit $$status

lint: $(NODE_MODULES) server ## Format, clippy, licences, API document, types of the pages, nginx configuration, service
	@$(STEP) format cargo fmt --check
	@$(STEP) clippy cargo clippy --all-targets --locked -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then \
		$(STEP) dependencies cargo deny --locked check bans licenses sources; \
	else \
		echo "dependencies … skipped, cargo-deny is not installed"; \
	fi
	@$(STEP) api-document scripts/check-api-document
	@$(STEP) pages-check $(NPM) run check
	@$(STEP) nginx scripts/check-nginx
	@if command -v promtool >/dev/null; then \
		$(STEP) alert-rules promtool check rules deploy/prometheus-rules.yml; \
	else \
		echo "alert-rules … skipped, there is no promtool"; \
	fi
	@if systemd-analyze --help 2>/dev/null | grep -q -- --offline; then \
		$(STEP) service scripts/check-service; \
	else \
		echo "service … skipped, there is no systemd-analyze of systemd 250 or later"; \
	fi

unit: $(NODE_MODULES) ## Unit tests of the server and of the pages
	@$(STEP) unit $(WITH_POSTGRES) cargo test --locked --no-fail-fast --lib --bins
	@$(STEP) doc cargo test --locked --doc
	@$(STEP) pages-unit $(NPM) test

# What was built is written to the disk first: a commit in a test must not wait for that.
integration: pages server ## Tests against the real server, nginx included
	@sync
	@$(STEP) integration $(WITH_POSTGRES) cargo test --locked --no-fail-fast --test '*'

browser: pages server ## Tests of the pages in Chromium against the real server
	@IAQ_BIN=$(CURDIR)/target/debug/iaqverse $(STEP) browser $(NPM) run e2e

autobahn: ## WebSocket conformance by the Autobahn test suite; needs a Python 2.7
	@scripts/autobahn

api-fuzz: server ## Made-up requests against what the API's own document promises; needs a Python 3 with venv
	@if python3 -c 'import venv, ensurepip' 2>/dev/null; then \
		scripts/api-fuzz; \
	else \
		echo "api-fuzz … skipped, there is no Python 3 with venv"; \
	fi

# No part of make test: what is found out about a dependency today must not fail what was right yesterday.
audit: ## Ask the network for known weaknesses of dependencies; needs cargo-deny
	cargo deny --locked check advisories
	$(NPM) audit --omit=dev

bench: ## Measure with Criterion; reports in target/criterion
	cargo bench --locked --bench road

bench-store: ## Measure the store beside its floors, BENCH_TOOLS as for bench-hub; makes a database of 50 million readings once
	@$(WITH_POSTGRES) scripts/bench-store

bench-hub: ## Measure the hub beside its floor; BENCH_TOOLS is the folder of the measuring programs
	@scripts/bench-hub

bench-access: ## Measure what credentials cost, and the ill-behaved; BENCH_TOOLS as for bench-hub
	@scripts/bench-access

fuzz: ## Feed made-up bytes to the WebSocket decoder for SECONDS (60); needs cargo-fuzz
	@fuzz/run $(or $(SECONDS),60)

api-document: server ## Write docs/openapi.json, which the types of the pages are made from
	target/debug/iaqverse openapi > docs/openapi.json

fmt: $(NODE_MODULES) ## Format everything
	cargo fmt
	cd frontend && npx biome check --write .

clean: ## Remove everything that was built, and the demo's readings
	@scripts/test-postgres stop
	rm -rf target frontend/dist frontend/node_modules frontend/test-results frontend/playwright-report

pages: $(NODE_MODULES)
	@$(STEP) pages $(NPM) run build

# Not cargo build: without the tests' dependencies it would compile others again with fewer features.
server:
	@$(STEP) server cargo test --locked --no-run --test '*'

$(NODE_MODULES): frontend/package.json frontend/package-lock.json
	@$(STEP) packages $(NPM) ci
	@touch $@

tools:
	@scripts/check-tools
