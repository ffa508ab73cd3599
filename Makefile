# Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
.DEFAULT_GOAL := help

# One more than there are cores, because tests often wait; at most four.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) < 3 ? $$(getconf _NPROCESSORS_ONLN) + 1 : 4 )))

.PHONY: help demo dashboards up test check bench conformance test-containers asyncapi format clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

.venv/installed: pyproject.toml constraints.txt
	@echo "Installing into .venv …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Sluiceway needs Python 3.11 or newer; choose one, for example: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/installed ## Run a real release through five regions, then a roll-back (ARGS=--json)
	@$(BIN)/python -m services.local demo $(ARGS)

dashboards: .venv/installed ## Run the demo and draw it into deploy/pictures/release.svg
	@$(BIN)/python -m services.local demo --picture deploy/pictures/release.svg $(ARGS)

up: .venv/installed ## Start everything and keep it running (ARGS="--data-dir DIR --scale scheduler=2")
	@$(BIN)/python -m services.local up $(ARGS)

test: .venv/installed check ## Run the checks and all tests except benchmarks
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m 'not benchmark and not containers' $(ARGS)

check: .venv/installed ## Check format, lint rules, types and import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed ## Measure Sluiceway, raw nats-py and other libraries in the same run
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	$(BIN)/pytest -m benchmark -s -q tests/benchmarks $(ARGS)

conformance: .venv/installed ## Compare evaluations with the official SDK (ARGS="--seed 7 --evaluations 1000000")
	$(BIN)/python -m tests.conformance $(ARGS)

test-containers: .venv/installed ## Run the integration tests against a broker in Docker
	$(BIN)/pytest --broker=container tests/integration $(ARGS)

asyncapi: .venv/installed ## Write deploy/asyncapi.yaml, the public interface
	$(BIN)/python -m services.asyncapi > deploy/asyncapi.yaml

format: .venv/installed ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Delete everything that the targets created
	rm -rf .venv data build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
