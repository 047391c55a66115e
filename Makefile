# Everything a user or the CI calls. Needs git, make and Python >= 3.12; no root, no conda, no server.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-all test-bounds fuzz bench lint lock clean FORCE
MAKEFLAGS += --no-print-directory

# The caller's Python settings must not leak into the project's own environment.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_CONSTRAINT
export PIP_USER := 0
export PIP_NO_INPUT := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest
# Tests of one file stay in one process, which compiles kernels for all of them.
PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadfile
# Tests that run compiled kernels; `make test-bounds` repeats them with every array index checked.
KERNEL_TESTS := $(wildcard tests/cubes tests/processing)
# How long `make fuzz` tries each parser; slow ones get twice that.
SECONDS_EACH ?= 4

# An environment that cannot run, or that was made when the folder had another name, is made again.
ifneq ($(shell $(BIN)/python -c "" 2>/dev/null && cat $(VENV)/.locked 2>/dev/null),$(CURDIR))
$(VENV)/.locked: FORCE
endif

help: ## Show this list
	@echo "TerraCube. Start with:  make demo"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "Settings:  SCENES=FOLDER (make demo on real scenes)   PYTHON=/path/to/python3.13 (interpreter for .venv)"
	@echo "           SECONDS_EACH=60 (make fuzz: per parser)"

demo: $(STAMP) ## Build a product under demo/, from simulated scenes or those in SCENES=FOLDER, and print how good it is
	@$(BIN)/terracube demo --into demo $(if $(SCENES),--scenes "$(SCENES)")

test: lint ## Run everything CI runs: style, types, layers, tests, doctests, notebooks
	@echo "== Tests, doctests and notebooks (without the slow ones: make test-all)"
	@$(PYTEST) -m "not slow" --hypothesis-profile=same $(PARALLEL)

test-all: lint ## The same with the slow tests, then the kernels once more with every array index checked
	@echo "== All tests, doctests and notebooks"
	@$(PYTEST) $(PARALLEL)
	@$(MAKE) test-bounds

test-bounds: $(STAMP) ## Run the tests of compiled kernels with every array index checked
	@echo "== Tests of kernels with NUMBA_BOUNDSCHECK=1"
	@NUMBA_BOUNDSCHECK=1 $(PYTEST) -m "not slow" $(KERNEL_TESTS)

fuzz: $(STAMP) ## Read spoilt products of every kind for about four minutes, and keep those that break a parser
	@TERRACUBE_FUZZ_SECONDS="$(SECONDS_EACH)" $(PYTEST) tests/fuzz -p no:cacheprovider

bench: $(STAMP) ## Compare speed and memory with other software (takes long; results in benchmarks/results/)
	@$(BIN)/python benchmarks/run.py

lint: $(STAMP) ## Check style (ruff), types (mypy) and layers (import-linter)
	@echo "== Style: ruff check, ruff format --check"
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@echo "== Types: mypy"
	@$(BIN)/mypy
	@echo "== Layers: import-linter"
	@$(BIN)/lint-imports --no-logo

lock: ## Write requirements.lock again from pyproject.toml (UPGRADE=1 takes the newest versions)
	@python=$$(PYTHON="$(PYTHON)" .ci/find-python) && rm -rf .venv-lock && "$$python" -m venv .venv-lock
	@.venv-lock/bin/python -m pip install -qq uv packaging
	@UPGRADE="$(UPGRADE)" .venv-lock/bin/python .ci/lock.py
	@rm -rf .venv-lock

clean: ## Remove all that make made here: .venv, demo/, caches
	rm -rf $(VENV) .venv-lock requirements.lock.new demo dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The pinned packages. A changed lock gives a new environment, so that it holds exactly what the lock says.
# The stamps are written last: an interrupted installation is taken for none and made again.
$(VENV)/.locked: requirements.lock
	@rm -rf $(VENV)
	@python=$$(PYTHON="$(PYTHON)" .ci/find-python) && echo "Setting up $(VENV) with $$python" && "$$python" -m venv $(VENV)
	@echo "Installing the $$(grep -c == requirements.lock) packages of requirements.lock (one to three minutes, only this time)"
	@$(BIN)/python -m pip install -qq --no-deps -r requirements.lock \
	  || { echo "Could not install: the lines above say why. Packages come from the index that pip is set up for (pip config list)." >&2; exit 1; }
	@printf '%s' "$(CURDIR)" > $@

# The project itself, editable; cheap, so that any change of its metadata may trigger it.
$(STAMP): $(VENV)/.locked pyproject.toml
	@echo "Installing TerraCube itself"
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check --quiet
	@$(BIN)/python -c "import numba, rasterio" \
	  || { echo "A system library is missing; on Debian and Ubuntu: apt install libexpat1 libstdc++6" >&2; exit 1; }
	@touch $@
	@echo "Ready."
