# Everything runs in .venv; the first call of any target makes it.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
.DEFAULT_GOAL := help

# One more than cores, since a test waits as often as it computes; at most four.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) < 3 ? $$(getconf _NPROCESSORS_ONLN) + 1 : 4 )))

.PHONY: help demo dashboards up test check bench conformance test-containers asyncapi format clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

.venv/installed: pyproject.toml constraints.txt
	@echo "Installing into .venv …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Sluiceway needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/installed ## Run a real release through five regions, then a rollback (ARGS=--json)
	@$(BIN)/python -m services.local demo $(ARGS)

dashboards: .venv/installed ## Run the demo and draw what happened into deploy/pictures/release.svg
	@$(BIN)/python -m services.local demo --picture deploy/pictures/release.svg $(ARGS)

up: .venv/installed ## Start everything and keep it running (ARGS="--data-dir X --scale scheduler=2")
	@$(BIN)/python -m services.local up $(ARGS)

test: .venv/installed check ## Check and run all tests but the benchmarks
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m 'not benchmark and not containers' $(ARGS)

check: .venv/installed ## Format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed ## Print figures against raw nats-py and other libraries, measured in the same run
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	$(BIN)/pytest -m benchmark -s -q tests/benchmarks $(ARGS)

conformance: .venv/installed ## Compare our answers with the official SDK's (ARGS="--seed 7 --evaluations 1000000")
	$(BIN)/python -m tests.conformance $(ARGS)

test-containers: .venv/installed ## Run the integration tests against a broker in Docker
	$(BIN)/pytest --broker=container tests/integration $(ARGS)

asyncapi: .venv/installed ## Write the public interface to deploy/asyncapi.yaml
	$(BIN)/python -m services.asyncapi > deploy/asyncapi.yaml

format: .venv/installed ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove what the targets have made
	rm -rf .venv data build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
