# Two commands do all the set-up: `make run` and `make test`. The rest is for people who change Headgate.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
NODE_TESTS := tests/node/node_modules/.package-lock.json

.DEFAULT_GOAL := help
.PHONY: help run test check format simulate failover bench bench-peers bench-gate bench-scale docs e2e-llama sync node

help: ## list what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: sync ## serve on http://127.0.0.1:8787
	@.venv/bin/headgate serve $(ARGS)

test: sync node ## run the whole suite
	@.venv/bin/pytest -n auto --maxprocesses 4 $(ARGS)

check: sync ## format, lint, types, import rules, dependencies, spelling, docs up to date
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/pyright
	@.venv/bin/lint-imports
	@.venv/bin/codespell core plugins providers guardrails README.md CONTRIBUTING.md CHANGELOG.md
	@.venv/bin/python tests/tools/deptry_all.py
	@.venv/bin/python core/docs/generate.py --check
	@$(UV) lock --check

format: sync ## format and fix what can be fixed
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

simulate: sync ## routing on bad days: 100,000 seeded schedules on a virtual clock, and the figures
	@.venv/bin/python -m tests.simulation $(ARGS)

bench: sync ## what a request costs beside nginx, a bare proxy and other gateways; ARGS=--publish writes the page
	@.venv/bin/python tests/bench/run.py $(ARGS)

bench-peers: sync ## install the other gateways into .bench/peers, in pinned versions
	@.venv/bin/python tests/bench/peers.py $(ARGS)

bench-gate: sync ## fail when a request, a chunk or a stage costs more than tests/bench/bounds.toml allows
	@.venv/bin/python tests/bench/gate.py $(ARGS)

bench-scale: sync ## what grows with workers, bodies, plugins, keys, deployments, streams and turns, and what does not
	@.venv/bin/python tests/bench/scale.py $(ARGS)

failover: sync ## what callers notice of one upstream of three that hangs, or answers 500 always; ARGS=--quick for less
	@.venv/bin/python tests/bench/failover.py $(ARGS)

docs: sync ## write the generated documentation, and what passes of every provider
	@.venv/bin/python -m tests.replay.matrix
	@.venv/bin/python core/docs/generate.py

e2e-llama: sync ## the gateway in front of llama.cpp's server (builds it once, about 7 minutes)
	@.venv/bin/python tests/llama/build.py
	@.venv/bin/pytest tests/llama --run-llama $(ARGS)

sync: $(UV)
	@$(UV) sync --quiet --all-packages --python $(PYTHON)

node: $(NODE_TESTS)

$(NODE_TESTS): tests/node/package.json tests/node/package-lock.json
	@if command -v npm >/dev/null 2>&1; then npm ci --silent --no-audit --no-fund --prefix tests/node && touch $@; \
	else echo "npm is not installed: the tests marked 'node' will be skipped"; fi

.uv/bin/uv:
	@$(PYTHON) -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9'
