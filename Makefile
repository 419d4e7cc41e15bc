# Two commands are enough: `make demo` and `make test`. Each prepares .venv by itself from pyproject.toml and constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-all acceptance redaction-score check format bench clean help
.DEFAULT_GOAL := help

help:
	@echo "make demo      the main job, end to end, against the simulator (about 40 s)"
	@echo "make test      every test that is quick (under 5 minutes)"
	@echo "make test-all  the long proofs too: 2 GB recording, more kills"
	@echo "make acceptance  faults, kills and power cuts; what is lost, altered, late (about 5 minutes; ARGS=--long for all)"
	@echo "make redaction-score  recall, precision and speed of the redactor on its corpus"
	@echo "make check     ruff, mypy strict, import-linter"
	@echo "make bench     measurements, as ratios"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "preparing $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,fast]'
	@touch $@

demo: $(READY)
	@$(BIN)/genesys-sync demo $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n 3 --dist worksteal $(ARGS)

test-all: $(READY)
	$(BIN)/python -m pytest --hypothesis-profile=new $(ARGS)

acceptance: $(READY)
	$(BIN)/python -m tests.harness $(ARGS)

redaction-score: $(READY)
	@$(BIN)/python -m tests.redaction $(ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
