# Two commands matter: `make nightly` does the main job, `make test` proves the harness. Both set everything up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
N ?= 10

# Services and loads are started by the hundred: what they import is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup nightly test trial bench rounds lint clean lock
.DEFAULT_GOAL := nightly

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "no virtual environment could be made; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing the locked packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' requirements.lock)"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

nightly: setup
	@$(BIN)/nats-harness nightly

test: setup
	@$(BIN)/python -m tests

trial: setup
	@$(BIN)/python -m tests trial

bench: setup
	@$(BIN)/python -m bench $(ARGS)

rounds: setup
	@$(BIN)/nats-harness rounds $(N)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lock:
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-header --no-annotate --no-emit-index-url pyproject.toml --output-file requirements.lock

clean:
	@test ! -x $(BIN)/nats-harness || $(BIN)/nats-harness clean --runs
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
