# Everything runs in VENV, which the first target that needs it creates.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What `make test-pythons` tests, each in a folder of its own.
PYTHONS ?= python3.11 python3.12 python3.13
ARGS ?=
.DEFAULT_GOAL := help

# One more than there are cores, because tests often wait; at most four.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) < 3 ? $$(getconf _NPROCESSORS_ONLN) + 1 : 4 )))

.PHONY: help demo dashboards up test test-pythons check bench conformance fuzz test-containers test-compose test-hostile \
	test-chaos chaos asyncapi format clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Installing into $(VENV) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Sluiceway needs Python 3.11 or newer; choose one, for example: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/installed ## Run a real release through five regions, then a roll-back (ARGS=--json)
	@$(BIN)/python -m services.local demo $(ARGS)

dashboards: $(VENV)/installed ## Run the demo and draw it into deploy/pictures/release.svg
	@$(BIN)/python -m services.local demo --picture deploy/pictures/release.svg $(ARGS)

up: $(VENV)/installed ## Start everything and keep it running (ARGS="--data-dir DIR --scale scheduler=2")
	@$(BIN)/python -m services.local up $(ARGS)

test: $(VENV)/installed check ## Run the checks and all tests except benchmarks
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'not benchmark and not containers and not full' $(ARGS)

test-pythons: ## Run the checks and tests with each supported Python (PYTHONS="python3.12 python3.13")
	@for python in $(PYTHONS); do \
		echo "== $$python"; $(MAKE) test PYTHON=$$python VENV=.venv-$$python ARGS="$(ARGS)" || exit 1; \
	done

check: $(VENV)/installed ## Check format, lint rules, types and import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed ## Measure against raw nats-py and other libraries, and write docs/performance.md's tables
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	@rm -f data/bench.jsonl
	$(BIN)/pytest -m benchmark -s -q tests/benchmarks $(ARGS)
	@$(BIN)/python -m tests.benchmarks.report

fuzz: $(VENV)/installed ## Look for inputs that harm the console's APIs or an edge (ARGS="--seconds 600 requests")
	$(BIN)/pytest -m full tests/integration/console/test_schema.py
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz $(ARGS)

conformance: $(VENV)/installed ## Compare evaluations with the official SDK (ARGS="--seed 7 --evaluations 1000000")
	$(BIN)/python -m tests.conformance $(ARGS)

test-containers: $(VENV)/installed ## Run the integration tests against a broker in Docker
	$(BIN)/pytest --broker=container tests/integration $(ARGS)

test-compose: $(VENV)/installed ## Run docker-compose.yml from a fresh clone; needs Docker, or root and dockerd
	$(BIN)/pytest -m containers -s tests/containers $(ARGS)

test-hostile: $(VENV)/installed ## Attack the system with each role's credentials, with more and worse than make test
	$(BIN)/pytest -m hostile -s tests/hostile $(ARGS)

test-chaos: $(VENV)/installed ## Kill processes and put back stores of the whole system, longer than make test
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m full tests/e2e $(ARGS)

chaos: $(VENV)/installed ## Run a cluster under load and faults, and check it; needs root (ARGS="--seconds 3600 --seed 7")
	@$(BIN)/python -m tests.chaos $(ARGS)

asyncapi: $(VENV)/installed ## Write deploy/asyncapi.yaml, the public interface
	$(BIN)/python -m services.asyncapi > deploy/asyncapi.yaml

format: $(VENV)/installed ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Delete everything that the targets created
	rm -rf .venv .venv-* data build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
