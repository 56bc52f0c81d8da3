PYTHON ?= python3
BIN := .venv/bin
export RAY_USAGE_STATS_ENABLED := 0
# Images often set it. A study starts dozens of Python processes; each would compile every module anew (3 s more for torch alone).
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install study test test-fast lint docs lock

help:  ## List these targets.
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

study: install  ## Install, then run the quickstart study on shipped data.
	$(BIN)/python -m study.run sweep.yaml

test: install  ## Install, then run every test, the slow ones too.
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-fast: install  ## Install, then run the tests that start neither Ray nor MLflow nor whole studies.
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist worksteal

lint: install  ## Check style, imports between rooms, types and spelling.
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-cache && $(BIN)/pyright && $(BIN)/codespell

docs: install  ## Build the documentation site in build/docs; warnings are errors, local links are checked.
	rm -rf build/docs
	$(BIN)/python -m sphinx -W --keep-going --quiet -E -b html docs build/docs
	$(BIN)/python docs/check_links.py build/docs

install: .venv/installed  ## Install the locked packages and this one in .venv.

# uv installs the 170 locked packages in a tenth of pip's time; pip itself only brings uv.
.venv/installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.8"
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

lock:  ## Update every pin of requirements.lock within the bounds of pyproject.toml.
	$(BIN)/uv pip compile --quiet --upgrade --extra dev --extra docs --extra emoji --no-emit-index-url --no-header --python-version 3.11 \
		pyproject.toml --output-file requirements.lock
