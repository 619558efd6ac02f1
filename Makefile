# One environment, in .venv, serves every target but test-min: .venv/bin/python runs everything.
# Each stamp file is made again when what it depends on changes.

PYTHON ?= python3
WORKERS ?= 2

PY := .venv/bin/python
PIP := $(PY) -m pip install -q -c constraints.txt
SOURCES = $(shell find sklearn_difficulty -name '*.py')

# The script of the review page is looked after by tools of npm, where that is installed.
NODE_TOOLS = $(if $(shell command -v npm),node_modules/.package-lock.json)

# The pin of constraints.txt, as older releases bring gigabytes of CUDA: make test-min TORCH=2.9.1
TORCH = $(shell sed -n 's/^torch==//p' constraints.txt)
PY_MIN := .venv-min/bin/python
PIP_MIN := $(PY_MIN) -m pip install -q -c .venv-min/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-min lint docs docs-check bench clean .venv-min

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: .venv/.installed  ## Find wrong labels in a small data set, retrain, draw demo.png
	$(PY) examples/demo.py

# One torch thread per worker: more would only wait for each other.
test: .venv/.adapters  ## Run the tests, the docstrings and the documentation's examples
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS)

test-min: .venv-min  ## Run the tests with the oldest supported dependencies
	OMP_NUM_THREADS=1 $(PY_MIN) -m pytest -n $(WORKERS)

lint: .venv/.lint $(NODE_TOOLS)  ## Check style, format, types, docstrings and imports
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m numpydoc lint $(SOURCES)
	.venv/bin/lint-imports --no-logo
ifeq ($(NODE_TOOLS),)
	@echo "npm is not installed: the script of the review page is not checked"
else
	npm run --silent lint
endif

# -E reads every page again: a build from memory would not repeat its warnings.
docs: .venv/.doc  ## Build the documentation in doc/_build/html; a warning is an error
	$(PY) -m sphinx -E -W --keep-going -b html -d doc/_build/doctrees doc doc/_build/html

docs-check: docs  ## Look in Chromium for what the pages of the documentation cut off
	$(PY) -m pytest -q tests/test_built_pages.py

bench: .venv/.installed  ## Run every benchmark, one after the other
	@set -e; for file in benchmarks/bench_*.py; do \
		[ -e "$$file" ] || continue; \
		echo "== $$file"; \
		$(PY) "$$file"; \
	done

clean:  ## Remove what the other targets made, except the environments
	rm -rf build dist *.egg-info .coverage .coverage.* htmlcov demo.png
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf doc/_build doc/auto_examples doc/generated
	find . -path './.venv*' -prune -o -type d -name __pycache__ -exec rm -rf {} +

# torch goes in first and by itself, so that nothing else chooses its release.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install -q -r constraints.txt
	$(PIP) -e ".[test,plot,progress]"
	@touch $@

# The libraries whose trainings are recorded; only their tests need them.
.venv/.adapters: .venv/.installed
	$(PIP) -e ".[adapters]"
	@touch $@

.venv/.lint: .venv/.installed
	$(PIP) -e ".[lint]"
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --silent
	@touch $@

.venv/.doc: .venv/.installed
	$(PIP) -e ".[doc]"
	@touch $@

# The stamp names the torch inside, so that asking for another one installs it.
.venv-min: .venv-min/.torch-$(TORCH)

.venv-min/.torch-$(TORCH): pyproject.toml constraints.txt constraints-min.txt
	rm -f .venv-min/.torch-*
	$(PYTHON) -m venv .venv-min
	sed 's/^torch==.*/torch==$(TORCH)/' constraints-min.txt >.venv-min/constraints.txt
	$(PIP_MIN) torch
	$(PIP_MIN) -e ".[test]"
	@touch $@
