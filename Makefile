# One environment, in .venv, serves every target: .venv/bin/python runs everything.
# Each stamp file is made again when what it depends on changes.

PYTHON ?= python3
WORKERS ?= 2

PY := .venv/bin/python
PIP := $(PY) -m pip install -q -c constraints.txt
SOURCES = $(shell find sklearn_difficulty -name '*.py')

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench clean

help:  ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-6s %s\n", $$1, $$2}'

demo: .venv/.installed  ## Find wrong labels in a small data set, retrain, draw demo.png
	$(PY) examples/demo.py

# One torch thread per worker: more would only wait for each other.
test: .venv/.installed  ## Run the tests, the docstrings and the documentation's examples
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS)

lint: .venv/.lint  ## Check style, format, types, docstrings and imports
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m numpydoc lint $(SOURCES)
	.venv/bin/lint-imports --no-logo

# -E reads every page again: a build from memory would not repeat its warnings.
docs: .venv/.doc  ## Build the documentation in doc/_build/html; a warning is an error
	$(PY) -m sphinx -E -W --keep-going -b html -d doc/_build/doctrees doc doc/_build/html

bench: .venv/.installed  ## Run every benchmark, one after the other
	@set -e; for file in benchmarks/bench_*.py; do \
		[ -e "$$file" ] || continue; \
		echo "== $$file"; \
		$(PY) "$$file"; \
	done

clean:  ## Remove what the other targets made, except .venv
	rm -rf build dist *.egg-info .coverage .coverage.* htmlcov demo.png
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf doc/_build doc/auto_examples doc/generated doc/sg_execution_times.rst
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

# torch goes in first and by itself, so that nothing else chooses its release.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install -q -r constraints.txt
	$(PIP) -e ".[test,plot,progress]"
	@touch $@

.venv/.lint: .venv/.installed
	$(PIP) -e ".[lint]"
	@touch $@

.venv/.doc: .venv/.installed
	$(PIP) -e ".[doc]"
	@touch $@
