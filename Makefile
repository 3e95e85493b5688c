# Everything a stranger needs: each target sets itself up first and can be run again at any time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 4
SEED ?= 0
# Bytecode is kept wherever Python is told not to: hundreds of programs start in a test run, each compiling our sources.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test check sim kills bench dev lock fmt wheel fuzz clean

demo: $(VENV)/.runtime
	@$(BIN)/bitlinkpay demo $(if $(EXIT),--exit)

test: $(VENV)/.dev nodes
	@echo "── tests"
	@$(BIN)/python -m pytest -n $(WORKERS) -q -rs $(ARGS)

check: $(VENV)/.dev
	@echo "── format"  && $(BIN)/ruff format --check --quiet .
	@echo "── lint"    && $(BIN)/ruff check --quiet .
	@echo "── types"   && $(BIN)/mypy
	@echo "── imports" && $(BIN)/lint-imports --no-logo --verbose-summary=false 2>/dev/null || $(BIN)/lint-imports
	@echo "── measure" && $(BIN)/python tools/measure.py
	@echo "── wheel"   && $(BIN)/python tools/check_wheel.py

sim: $(VENV)/.dev
	@BITLINKPAY_CRASHES=$(or $(N),2000) BITLINKPAY_CRASH_SEED=$(SEED) $(BIN)/python -m pytest -n $(WORKERS) -q tests/crashes -k schedules $(ARGS)

kills: $(VENV)/.dev nodes
	@$(BIN)/python -m tests.kills N=$(or $(N),50) SEED=$(SEED) ENDPOINTS=$(or $(ENDPOINTS),0) $(ARGS)

bench: $(VENV)/.dev nodes
	@$(BIN)/python -m bench $(ARGS)

fuzz: $(VENV)/.dev
	@$(BIN)/python -m tests.fuzz $(ARGS)

dev: $(VENV)/.dev nodes

nodes: $(VENV)/.dev
	@$(BIN)/python tools/setup_nodes.py
	@$(BIN)/python tools/setup_chromium.py

lock:
	@for name in build runtime dev; do \
		$(BIN)/uv pip compile --quiet --generate-hashes --universal --no-header --no-annotate --python-version 3.11 \
			requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

fmt: $(VENV)/.dev
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

wheel: $(VENV)/.dev
	$(BIN)/python tools/check_wheel.py --keep dist

clean:
	rm -rf $(VENV) dist node_modules .cache

$(VENV)/bin/python:
	@echo "── virtual environment"
	@$(PYTHON) tools/check_python.py
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/build.txt requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	@echo "── packages (pinned and hashed, about 60 MB the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "── packages for development (pinned and hashed)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.runtime
