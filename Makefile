# Two commands matter: `make run` and `make test`. `make help` lists all of them.

PYTHON ?= python3
PORT ?= 8080
PYTEST_ARGS ?=
# Most tests wait for processes of their own, so more of them than there are cores run side by side.
TEST_PROCESSES ?= 6
UPGRADE ?=
# Where a machine keeps no bytecode, each of the hundreds of processes that the tests start compiles the package anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
# A module's tests stay in one process: they share its server.
SIDE_BY_SIDE = --numprocesses $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder
# Only pip's errors are shown: a newcomer waits for one line, not for two hundred.
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(UPGRADE)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run demo test test-fast rewritten coverage test-peers pictures check format fuzz lock clean
.PHONY: bench bench-fraud bench-delivery bench-rooms bench-overload bench-front bench-console bench-peers soak soak-long

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## the whole service on this machine; PORT=8080, Ctrl-C stops it
	@exec $(BIN)/verify-service run --port $(PORT)

demo: $(VENV)/run.stamp ## the same with made-up traffic and an attack, to look at in the console
	@exec $(BIN)/verify-service demo --port $(PORT)

test: $(VENV)/test.stamp ## every gate and every test; PYTEST_ARGS="-k start" picks some
	@$(MAKE) --no-print-directory --jobs 2 check rewritten
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PYTEST_ARGS)

# In a new clone each process would rewrite the asserts of all tests: here one does, beside the gates.
rewritten: $(VENV)/test.stamp
	@[ -d tests/__pycache__ ] || said=$$($(BIN)/python -m pytest --collect-only -qq) || { echo "$$said"; exit 1; }

# These wait for little, and each process takes seconds to find its tests.
test-fast coverage: TEST_PROCESSES = 3

test-fast: $(VENV)/test.stamp ## the tests that need no minute: what to run after each change
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow" $(PYTEST_ARGS)

coverage: $(VENV)/test.stamp ## lines and branches that the quick tests run; fails below the figure in pyproject.toml
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow" --cov --cov-report term $(PYTEST_ARGS)

test-peers: $(VENV)/peers.stamp ## what is not ours: SDKs, a browser, Prometheus; installs it, kannel, chromium, npm
	@tests/peers/install $(VENV)
	@benchmarks/peers/install $(VENV)/better-auth
	@$(BIN)/python -m pytest tests/peers $(PYTEST_ARGS)

pictures: $(VENV)/peers.stamp ## the pictures in docs/, of pages as they are now; needs what test-peers installs
	@tests/peers/install $(VENV)
	@$(BIN)/python -m tests.peers.looking docs/pictures
	@$(BIN)/python -m tests.peers.pictures docs/pictures

check: $(VENV)/test.stamp ## lint, format, types, Dockerfile, locks: no test is run
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/hadolint Dockerfile
	@.ci/luacheck $(VENV)/luacheck verify_service/store/lua
	@broken=$$($(BIN)/python -m pip check) || { echo "$$broken: the locks are old, see make lock" >&2; exit 1; }

format: $(VENV)/test.stamp ## writes the code in the house's format
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/test.stamp ## starts and cycles per second, as ratios to a bare app
	@$(BIN)/python -m benchmarks

bench-fraud: $(VENV)/test.stamp ## what the shipped policy stops and whom it turns away, on simulated attacks
	@$(BIN)/python -m benchmarks.fraud

bench-rooms: $(VENV)/test.stamp ## what thousands of messages for a dead provider cost the others; three minutes
	@$(BIN)/python -m benchmarks.rooms 2> /dev/null

bench-delivery: $(VENV)/test.stamp ## how codes arrive while a provider errs, hangs, is slow or silent; ten minutes
	@$(BIN)/python -m benchmarks.delivery 2> /dev/null

bench-overload: $(VENV)/test.stamp ## twice as many messages as a dispatcher can send; five minutes
	@$(BIN)/python -m benchmarks.overload

bench-front: $(VENV)/test.stamp ## what 100 slow and 3,000 silent callers cost the others; two minutes
	@$(BIN)/python -m benchmarks.front

bench-console: $(VENV)/test.stamp ## how long its pages take with a million events behind them; three minutes
	@$(BIN)/python -m benchmarks.console 2> /dev/null

bench-peers: $(VENV)/test.stamp ## starts, checks and cycles beside better-auth; installs it, and needs npm
	@benchmarks/peers/install $(VENV)/better-auth
	@$(BIN)/python -m benchmarks.peers $(VENV)/better-auth

soak: $(VENV)/test.stamp ## a minute of load while processes are killed and half the providers hang
	@$(BIN)/python -m benchmarks.soak

soak-long: $(VENV)/test.stamp ## the same for ten minutes, with a full disk in between; needs root
	@$(BIN)/python -m benchmarks.soak --seconds 600 --full-disk

fuzz: $(VENV)/test.stamp ## every call of openapi.yaml with inputs nobody thought of; minutes, a new seed each time
	@$(BIN)/python -m tests.support.fuzz

lock: $(VENV)/made.stamp ## pins anew what pyproject.toml asks for; UPGRADE=--upgrade takes the newest
	@$(PIP) install 'uv>=0.13,<1'
	@$(LOCK) pyproject.toml --output-file requirements/run.txt
	@$(LOCK) pyproject.toml --extra aws --extra otel --extra smpp --constraint requirements/run.txt \
		--output-file requirements/vendors.txt
	@$(LOCK) --group build --constraint requirements/run.txt --output-file requirements/build.txt
	@$(LOCK) pyproject.toml --all-extras --group dev --constraint requirements/run.txt \
		--constraint requirements/build.txt --output-file requirements/test.txt
	@$(LOCK) --group peers --constraint requirements/test.txt --output-file requirements/peers.txt

clean: ## removes what make made, and nothing else
	@rm -rf $(VENV) .venv-newest .mypy_cache .ruff_cache .pytest_cache .coverage .hypothesis .schemathesis build dist
	@find benchmarks tests verify_service -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make the second `make run` start at once; a changed lock or pyproject.toml installs again.
$(VENV)/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "verify-service needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/run.stamp: requirements/run.txt requirements/build.txt pyproject.toml | $(VENV)/made.stamp
	@echo "Installing verify-service into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/run.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/test.stamp: requirements/test.txt $(VENV)/run.stamp
	@echo "Installing the test tools into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/test.txt
	@touch $@

$(VENV)/peers.stamp: requirements/peers.txt $(VENV)/test.stamp
	@$(PIP) install --require-hashes -r requirements/peers.txt
	@touch $@
