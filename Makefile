# Every target sets up what it needs: Python 3.11 or newer, make and git are enough. Wheels only, no compiler.
#
#   make demo     the main job on real data, timed beside zarr-python
#   make test     the tests and doctests           (make test PYTHON=python3.12, make test TESTS=tests/storage)
#   make check    what CI runs: lint, types, layers, house rules, tests on two interpreters
#   make bench    the tables of the README
#   make format   let ruff rewrite the sources
#   make clean    remove the virtual environments

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

SUPPORTED := python3.13 python3.12 python3.11 python3 python
# An interpreter counts when it runs and is new enough: a version manager may leave a name that does neither.
RUNS := -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
VERSION := -c 'import sys; print("%d.%d" % sys.version_info[:2])'

ifdef PYTHON
  VENV ?= .venv-$(shell $(PYTHON) $(VERSION))
else
  PYTHON := $(shell for p in $(SUPPORTED); do if $$p $(RUNS); then echo $$p; break; fi; done)
  VENV ?= .venv
endif

# ENGINES=all adds JAX and PyTorch; without a CPU build at hand PyTorch brings gigabytes.
ENGINES ?=
ENGINE_EXTRAS := $(if $(filter all,$(ENGINES)),jax torch)
TESTS ?=
OTHER_TESTS ?= tests/storage
JOBS ?= auto

BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help demo test test-other check lint types imports house bench format constraints clean
.PRECIOUS: $(VENV)/.has-% $(BIN)/python

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.has-demo
	@$(BIN)/tenzarr demo

test: $(patsubst %,$(VENV)/.has-%,test $(ENGINE_EXTRAS))
	$(BIN)/python -m pytest --numprocesses $(JOBS) --maxprocesses 4 --dist worksteal $(TESTS)

# The same tests under the other zarr: 3.1 on Python 3.11, 3.4 on later ones.
test-other: $(BIN)/python
	@mine=$$($(BIN)/python $(VERSION)); \
	for p in python3.12 python3.13 python3.11 $(wildcard $(HOME)/.pyenv/versions/3.1[123]*/bin/python); do \
	    if $$p $(RUNS) && [ "$$($$p $(VERSION))" != "$$mine" ]; then \
	        echo "test-other: $(OTHER_TESTS) on Python $$($$p $(VERSION))"; \
	        exec $(MAKE) --no-print-directory test PYTHON="$$p" ENGINES= TESTS="$(OTHER_TESTS)"; \
	    fi; \
	done; \
	echo "test-other: skipped, Python $$mine is the only interpreter of 3.11 to 3.13 here"

check: lint types imports house test-other test

lint: $(VENV)/.has-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.has-dev
	$(BIN)/pyright --pythonpath $(BIN)/python

imports: $(VENV)/.has-dev
	$(BIN)/lint-imports

house: $(BIN)/python
	$(BIN)/python -m tools.house

bench: $(VENV)/.has-bench
	$(BIN)/python -m bench

format: $(VENV)/.has-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One fresh environment for each supported interpreter; a CPU build of PyTorch is assumed on 3.11.
constraints:
	@rm -rf build/freeze && mkdir -p build/freeze; arguments=; \
	for v in 3.11 3.12 3.13; do \
	    for p in python$$v $(HOME)/.pyenv/versions/$$v*/bin/python; do if $$p $(RUNS); then break; fi; done; \
	    extras=dev,jax; if [ $$v = 3.11 ]; then extras=dev,jax,torch; fi; \
	    $$p -m venv build/freeze/$$v && build/freeze/$$v/bin/python -m pip install -qq --only-binary :all: ".[$$extras]" \
	        && build/freeze/$$v/bin/python -m pip freeze > build/freeze/$$v.txt || exit 1; \
	    arguments="$$arguments $$v=build/freeze/$$v.txt"; \
	done; \
	$(PYTHON) -m tools.constraints $$arguments > constraints.new && mv constraints.new constraints.txt

clean:
	rm -rf .venv .venv-3.* build .pytest_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) $(RUNS); then \
	    echo "tenzarr needs Python 3.11 or newer with venv; tried: $(or $(PYTHON),$(SUPPORTED))." >&2; \
	    echo "Name one: make test PYTHON=/path/to/python3" >&2; exit 1; fi
	@echo "setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.has-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing tenzarr[$*] into $(VENV)"
	@$(BIN)/python -m pip install -qq --only-binary :all: --constraint constraints.txt --editable '.[$*]'
	@touch $@
