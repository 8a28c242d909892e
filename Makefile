# Everything that the commands below need, they set up themselves: a virtual environment with the project in it.

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3))
VENV := .venv
BIN := $(VENV)/bin
WHEEL_VENV := build/wheel-venv

.PHONY: demo test coverage lint format types contracts examples bench wheel-test clean

demo: $(VENV)/.installed
	$(BIN)/python examples/04_stdlib_census.py

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

# Tracing doubles the time that the suite takes, so it is not part of it.
coverage: $(VENV)/.installed-dev
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --sort=cover

$(VENV)/bin/python:
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[test,dev]"
	touch $@

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

contracts: $(VENV)/.installed-dev
	PYTHONPATH=plugins $(BIN)/lint-imports

examples: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/acceptance/test_examples.py

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/run_all.py

# The suite once more, against the built wheel, where the source cannot be imported.
wheel-test: $(VENV)/.installed-dev
	rm -rf build/wheel build/wheel-venv build/away
	$(BIN)/python -m build --quiet --wheel --outdir build/wheel .
	"$(PYTHON)" -m venv $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/python -m pip install --quiet "$$(ls $(CURDIR)/build/wheel/*.whl)[test]"
	mkdir -p build/away
	cp -r tests examples docs README.md CONTRIBUTING.md pyproject.toml build/away/
	cd build/away && $(CURDIR)/$(WHEEL_VENV)/bin/python -m pytest tests --ignore=tests/typing

clean:
	rm -rf $(VENV) build dist .coverage* .mypy_cache .ruff_cache .pytest_cache
