# Every target does its own set-up in .venv; a second run installs nothing.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: demo test coverage check format clean

demo: $(RUN_STAMP)  ## Compare the embedded pair of models
	$(BIN)/medbench-local compare demo-med demo-base

test: $(DEV_STAMP)  ## Install what the tests need and run them all
	$(BIN)/python -m pytest -q -n auto --dist loadfile

coverage: $(DEV_STAMP)  ## The tests once more, a third slower, with a floor for the share of code that they run
	$(BIN)/python -m pytest -q -n auto --dist loadfile --cov=medbench_local --cov-report=term --cov-fail-under=70

check: $(DEV_STAMP)  ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "medbench-local needs Python 3.10 or newer; run: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# llama-cpp-python is compiled on the first installation: a few minutes with a C++ compiler and no other set-up.
$(RUN_STAMP): pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV); the first time llama.cpp is compiled, which takes a few minutes."
	$(BIN)/python -m pip install -q -e .
	@touch $@

$(DEV_STAMP): pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV); the first time llama.cpp is compiled, which takes a few minutes."
	$(BIN)/python -m pip install -q -e ".[dev]"
	@touch $@ $(RUN_STAMP)
