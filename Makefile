.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
SOURCES := configs jobs pipeline_lib tests
# What `model.engine: auto` takes in the tests: torch as on Intel's processors, openvino as on AMD's with
# AVX-512, or absent.
ENGINE ?= torch
# Processes that share the tests; only one of them starts Ray.
WORKERS ?= 2
PYTEST = $(BIN)/pytest --engine $(ENGINE)
# The tests of the modules that [tool.coverage.report] in pyproject.toml lists.
PURE := $(addprefix tests/unit/,engines/test_batching.py inputs/test_column_names.py execution/test_transport.py \
	planning/test_resources.py checkpoints/test_activation.py scoring/test_bisection.py statistics test_messages.py)

run: .venv/run ## Score the embedded sample (sets everything up first)
	@$(BIN)/python -m jobs.score run configs/sample.yaml

test: .venv/dev ## Run the quick tests: minutes
	@$(PYTEST) -n $(WORKERS) -m "not slow"

test-all: .venv/dev ## Run all tests but those of whole clusters; about an hour
	@$(PYTEST) -m usual_ports
	@$(PYTEST) -n $(WORKERS) -m "not usual_ports and not clusters"

test-clusters: .venv/dev ## Run the tests that start clusters of several machines; nothing else should run beside them
	@$(PYTEST) -m clusters

coverage: .venv/dev ## Measure how much of the pure modules their own tests cover
	@$(BIN)/coverage run -m pytest -q $(PURE)
	@$(BIN)/coverage report

check: lint typecheck coverage test-all ## Lint, types, import contract, coverage of the pure modules, all tests

soak: .venv/dev ## Kill runs at random, 200 times, and compare every byte; start pairs; lose a machine; fail S3 requests
	@$(BIN)/python -m tests.faults.soak kills
	@$(BIN)/python -m tests.faults.soak races
	@$(BIN)/python -m tests.faults.soak nodes
	@$(BIN)/python -m tests.faults.soak s3

bench: .venv/dev ## Time the job against the pipeline and others, on generated reviews
	@$(BIN)/python -m jobs.bench

bench-scale: .venv/dev ## Plan up to 100,000 shards, read large ones, run on 16 simulated machines; takes ten minutes
	@$(BIN)/python -m jobs.bench.scale

bench-gpu: .venv/dev ## On a machine with a GPU: check the answers, then time all there is to time, in minutes
	@$(BIN)/pytest tests/unit/engines/test_gpu.py
	@$(BIN)/python -m jobs.bench.gpu

bench-s3: .venv/dev ## Count the requests and bytes of each command against an S3 server
	@$(BIN)/python -m tests.helpers.stores.s3_requests

bad-inputs: .venv/dev ## Try every kind of bad input, and show what each gets
	@$(BIN)/python -m tests.bad_inputs.bad_inputs

monitoring-tools: ## Get Prometheus's programs, which some tests need (Debian and Ubuntu)
	@mkdir -p build/monitoring
	@cd build/monitoring && apt-get download prometheus prometheus-node-exporter && \
		for package in *.deb; do dpkg-deb --extract "$$package" . && rm "$$package" || exit 1; done

browser: ## Get Chromium, which looks at the pages in some tests (Debian)
	@apt-get install --yes --quiet --no-install-recommends chromium chromium-driver

setup: .venv/dev ## Make .venv with everything, pinned by constraints.txt

format: .venv/dev ## Format the code and apply safe fixes
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

lint: .venv/dev ## Check style, and that imports point down only
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/lint-imports

typecheck: .venv/dev ## Check types, strictly
	@$(BIN)/mypy

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What the program needs to run, then what it needs to be worked on.
.venv/run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Nightscore needs Python 3.11 or later; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing into .venv, a few minutes the first time ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/dev: .venv/run
	@echo "Installing the development tools ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cluster,dev]'
	@touch $@

.PHONY: run test test-all test-clusters coverage check soak bench bench-scale bench-gpu bench-s3 bad-inputs monitoring-tools browser setup format lint typecheck help
